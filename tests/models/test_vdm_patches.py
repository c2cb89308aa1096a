# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 vw2_ros maintainers
"""PatchCode rebuilds clips without being trained, and a VDM learns in its latents."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vw2_ros.errors import InvalidValueError
from vw2_ros.models.vdm_patches import FIRST_SIZE, SIZE, PatchCode

pytest.importorskip('diffusers')
from vw2_ros.models.vdm import VDM  # noqa: E402
from vw2_ros.models.vdm_config import CONFIGS, VDMConfig  # noqa: E402

CONFIG = replace(CONFIGS['tiny'], vae='patch', predict='x0')


def squares(clips=24, frames=13, side=32, seed=0):
    """A soft square that moves over a picture of gradients: (clips, frames, 3, side, side)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    out = np.empty((clips, frames, 3, side, side), np.float32)
    for clip in out:
        back = [0.2 + 0.6 * (a * x + b * y) / (a + b) for a, b in rng.uniform(0.1, 1, (3, 2))]
        at, speed, colour = rng.uniform(0.3, 0.7, 2), rng.uniform(-0.02, 0.02, 2), rng.random(3)
        for t, frame in enumerate(clip):
            near = np.maximum(abs(x - at[0] - t * speed[0]), abs(y - at[1] - t * speed[1]))
            cover = np.clip((0.2 - near) * 10, 0, 1)
            frame[:] = [c * cover + b * (1 - cover) for c, b in zip(colour, back)]
    return torch.from_numpy(out)


def test_all_directions_give_the_first_frame_back_and_few_give_most_of_the_rest():
    video = squares()
    still = float((video - video[:, :1]).square().mean())
    before = np.inf
    for channels in (4, 16, 64, FIRST_SIZE):
        code = PatchCode(channels)
        code.fit(video)
        latents = code.encode(video)
        assert latents.shape == (24, channels, 4, 4, 4) and latents.dtype == torch.float32
        rest = float((code.decode(latents, video[:, 0]) - video).square().mean())
        assert rest < before
        before = rest
    assert before < 0.01 * still
    torch.testing.assert_close(code.decode(latents)[:, 0], video[:, 0], rtol=0, atol=1e-5)
    for part in (latents[:, :, :1], latents[:, :, 1:]):
        assert float(part.square().mean()) == pytest.approx(1, rel=1e-3)


def test_directions_are_the_principal_ones():
    video = squares()
    code = PatchCode(8)
    code.fit(video)
    # NumPy's singular values are the oracle
    rows = (video[:, 1:] - video[:, :1]).reshape(24, 3, 4, 3, 4, 8, 4, 8)
    rows = rows.permute(0, 1, 4, 6, 2, 3, 5, 7).reshape(-1, SIZE).numpy()
    directions = np.linalg.svd(rows.astype(float), full_matrices=False)[2][:8]
    overlap = np.abs(code.directions.numpy() @ directions.T)
    np.testing.assert_allclose(np.diag(overlap), 1, atol=1e-3)
    gram = code.directions @ code.directions.T
    torch.testing.assert_close(gram, torch.eye(8), rtol=0, atol=1e-5)


def test_latents_see_no_later_frame():
    code = PatchCode(16)
    code.fit(squares())
    video, other = squares(2, seed=1), squares(2, seed=1)
    other[:, 9:] = 0.5
    assert torch.equal(code.encode(video)[:, :, :3], code.encode(other)[:, :, :3])
    assert not torch.equal(code.encode(video)[:, :, 3], code.encode(other)[:, :, 3])


def test_a_clip_that_stands_still_is_no_reason_to_divide_by_nothing():
    code = PatchCode(4)
    video = torch.full((2, 5, 3, 8, 16), 0.5)
    code.fit(video)
    assert torch.isfinite(code.encode(video)).all()
    torch.testing.assert_close(code.decode(code.encode(video)), video)


@pytest.mark.parametrize('channels', [0, FIRST_SIZE + 1])
def test_channels_beyond_the_first_frame_are_refused(channels):
    with pytest.raises(InvalidValueError, match='192'):
        PatchCode(channels)
    with pytest.raises(InvalidValueError):
        VDMConfig(vae='patch', vae_channels=channels)


def test_velocity_is_that_of_the_clean_latents():
    torch.manual_seed(0)
    model = VDM(CONFIG).eval()
    noisy, time = torch.randn(2, 8, 4, 4, 4), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        velocity = model.velocity(noisy, time)
        model.config = replace(CONFIG, predict='velocity')  # gives what the backbone says
        x0 = model.velocity(noisy, time)
    torch.testing.assert_close(noisy - time.view(2, 1, 1, 1, 1) * velocity, x0)


def test_loss_of_x0_is_the_velocitys_error():
    torch.manual_seed(0)
    model = VDM(CONFIG).eval()
    latents = torch.randn(4, 8, 4, 4, 4)
    seen, velocity = [], model.velocity

    def spy(noisy, time, *given):
        seen.append((noisy, time))
        return velocity(noisy, time, *given)

    with torch.no_grad():
        model.velocity = spy
        loss = model.flow_loss(latents, generator=torch.Generator().manual_seed(3))
        noisy, time = seen[0]
        t = time.view(4, 1, 1, 1, 1)
        wanted = (noisy - latents) / t  # eps - x0, as noisy = (1 - t) x0 + t eps
        error = (velocity(noisy, time) - wanted)[:, :, 1:].square().mean()
    assert time.min() > 0.05  # below, the weight is bounded
    assert float(loss) == pytest.approx(float(error), rel=1e-4)


def test_it_learns_one_clip_and_its_folder_loads(tmp_path):
    from vw2_ros.models.run_folder import save_run
    from vw2_ros.models.stages.vdm import save_vdm

    torch.manual_seed(0)
    video = squares(1)
    model = VDM(CONFIG)
    model.measure_latents(squares())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(video.repeat(4, 1, 1, 1, 1), generator=generator).backward()
        optimizer.step()
    model.eval()
    imagined = model.sample(video[:, 0], steps=6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(imagined[:, 0], video[:, 0])  # the first frame is known, not rebuilt
    still = float((video - video[:, :1]).square().mean())
    assert float((imagined - video).square().mean()) < 0.5 * still
    save_vdm(tmp_path, model)
    save_run(tmp_path, {}, {'vdm': model.config})
    again = VDM.load(tmp_path).sample(
        video[:, 0], steps=6, generator=torch.Generator().manual_seed(1)
    )
    torch.testing.assert_close(again, imagined)


def test_runs_that_were_begun_before_these_switches_go_on():
    assert not {'vae', 'predict'} & CONFIGS['tiny'].identity().keys()
    assert CONFIG.identity()['vae'] == 'patch' and CONFIG.identity()['predict'] == 'x0'
