#!/bin/sh
# Every stage once, in order; paths are relative to this file.
set -e
cd "$(dirname "$0")"

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1
vw2 collect --episodes 60 --randomize --scenes ABC --seed 31 --shards 96 --out stages/collect-a2ce339a68 --workers 1

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1
vw2 collect --episodes 80 --scenes D --seed 21 --shards 96 --out stages/collect-859b1fe326 --workers 1

# videoworld2, seed 0; videoworld2-full, seed 0; videoworld2, seed 1; videoworld2-full, seed 1
vw2 train vdm --data stages/collect-a2ce339a68 --seed 0 --config configs/vdm-d6f4ca4a25.yaml --out stages/vdm-d6f4ca4a25 --resume

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1
vw2 train sight --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --config configs/sight-cb7bf0f1c4.yaml --out stages/sight-cb7bf0f1c4 --resume

# lapa, seed 0; lapa, seed 1
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-336c37f57e.yaml --out stages/dldm-336c37f57e --resume

# videoworld1, seed 0; videoworld2, seed 0; videoworld2-full, seed 0; videoworld1, seed 1; videoworld2, seed 1; videoworld2-full, seed 1
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-96d9d875ae.yaml --out stages/dldm-96d9d875ae --resume

# videoworld2, seed 0; videoworld2-full, seed 0; videoworld2, seed 1; videoworld2-full, seed 1
vw2 train dldm --stage disentangle --data stages/collect-a2ce339a68 --seed 0 --init stages/dldm-96d9d875ae --vdm stages/vdm-d6f4ca4a25 --config configs/disentangle-d398d841d9.yaml --out stages/disentangle-d398d841d9 --resume

# lapa, seed 0; lapa, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-336c37f57e --sight stages/sight-cb7bf0f1c4 --config configs/planner-d0617ae8d4.yaml --out stages/planner-d0617ae8d4 --resume

# videoworld1, seed 0; videoworld1, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-96d9d875ae --sight stages/sight-cb7bf0f1c4 --config configs/planner-cdaee23056.yaml --out stages/planner-cdaee23056 --resume

# videoworld2, seed 0; videoworld2, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/disentangle-d398d841d9 --sight stages/sight-cb7bf0f1c4 --config configs/planner-aec3c33d63.yaml --out stages/planner-aec3c33d63 --resume

# videoworld2-full, seed 0; videoworld2-full, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --seed 0 --init stages/disentangle-d398d841d9 --sight stages/sight-cb7bf0f1c4 --config configs/planner-0512eea398.yaml --out stages/planner-0512eea398 --resume

# none, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6e3fe06ee6.yaml --out stages/head-6e3fe06ee6 --resume

# lapa, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-d0617ae8d4 --config configs/head-0923db46a7.yaml --out stages/head-0923db46a7 --resume

# videoworld1, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-cdaee23056 --config configs/head-0451f8d11f.yaml --out stages/head-0451f8d11f --resume

# videoworld2, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-aec3c33d63 --config configs/head-90199e5568.yaml --out stages/head-90199e5568 --resume

# none-full, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6ca39c2146.yaml --out stages/head-6ca39c2146 --resume

# videoworld2-full, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 1.0 --init stages/planner-0512eea398 --config configs/head-7050047c18.yaml --out stages/head-7050047c18 --resume

# none, seed 0
vw2 eval --policy stages/head-6e3fe06ee6/policy --scene D --chains 100 --out stages/eval-10c449491e --workers 1

# lapa, seed 0
vw2 eval --policy stages/head-0923db46a7/policy --scene D --chains 100 --out stages/eval-793da18881 --workers 1

# videoworld1, seed 0
vw2 eval --policy stages/head-0451f8d11f/policy --scene D --chains 100 --out stages/eval-006182ed64 --workers 1

# videoworld2, seed 0
vw2 eval --policy stages/head-90199e5568/policy --scene D --chains 100 --out stages/eval-26be4128ab --workers 1

# none-full, seed 0
vw2 eval --policy stages/head-6ca39c2146/policy --scene D --chains 100 --out stages/eval-4d54da8f43 --workers 1

# videoworld2-full, seed 0
vw2 eval --policy stages/head-7050047c18/policy --scene D --chains 100 --out stages/eval-b845b7e1ef --workers 1

# none, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-59610edadd.yaml --out stages/head-59610edadd --resume

# lapa, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-d0617ae8d4 --config configs/head-62a0411e3b.yaml --out stages/head-62a0411e3b --resume

# videoworld1, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-cdaee23056 --config configs/head-f3b92f6739.yaml --out stages/head-f3b92f6739 --resume

# videoworld2, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-aec3c33d63 --config configs/head-5abfb8d6a2.yaml --out stages/head-5abfb8d6a2 --resume

# none-full, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-78940cb269.yaml --out stages/head-78940cb269 --resume

# videoworld2-full, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 1.0 --init stages/planner-0512eea398 --config configs/head-fbd4eef11b.yaml --out stages/head-fbd4eef11b --resume

# none, seed 1
vw2 eval --policy stages/head-59610edadd/policy --scene D --chains 100 --out stages/eval-250a162506 --workers 1

# lapa, seed 1
vw2 eval --policy stages/head-62a0411e3b/policy --scene D --chains 100 --out stages/eval-d1e13e65da --workers 1

# videoworld1, seed 1
vw2 eval --policy stages/head-f3b92f6739/policy --scene D --chains 100 --out stages/eval-bee4947366 --workers 1

# videoworld2, seed 1
vw2 eval --policy stages/head-5abfb8d6a2/policy --scene D --chains 100 --out stages/eval-d450fb015d --workers 1

# none-full, seed 1
vw2 eval --policy stages/head-78940cb269/policy --scene D --chains 100 --out stages/eval-384081b1f3 --workers 1

# videoworld2-full, seed 1
vw2 eval --policy stages/head-fbd4eef11b/policy --scene D --chains 100 --out stages/eval-1f2608252b --workers 1
