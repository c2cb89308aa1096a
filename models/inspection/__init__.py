# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""Looking inside the latents: do the codes say what moved, whatever the scene looks like?

VideoWorld 2 claims that codes learned through a video diffusion model carry motion and not
appearance (its UMAP of codes of different scenes). Here in numbers, of clips whose motion the
simulator knows:

    clips = draw_clips(store, frames=17, count=4000)                                   # clips.py
    codes, indices = read_codes_of(model, store, clips)                                # codes.py
    probe(codes, clips, 'D')       # linear map code -> displacement, tested on an unseen scene
    scene_probe(codes, clips)      # can the scene be told from the code?              # probes.py
    retrieve(codes, clips, 'D')    # does the nearest code of another scene move alike? retrieval.py
    swap(model, video, other)      # what the decoder changes with one query's codes   # swaps.py

    look_into(path)                # a file that the authors of VideoWorld 2 publish # published.py

Every interval is a 95 % bootstrap over episodes, not over samples, for neighbouring frames say the
same thing twice (`intervals.py`). Needs the extra `inspect`.
"""
