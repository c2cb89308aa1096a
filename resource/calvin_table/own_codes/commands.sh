#!/bin/sh
# Every stage once, in order; paths are relative to this file.
set -e
cd "$(dirname "$0")"

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1
vw2 collect --episodes 60 --randomize --scenes ABC --seed 31 --shards 96 --out stages/collect-a2ce339a68 --workers 1

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1
vw2 collect --episodes 80 --scenes D --seed 21 --shards 96 --out stages/collect-859b1fe326 --workers 1

# videoworld2, seed 0; videoworld2, seed 1
vw2 train vdm --data stages/collect-a2ce339a68 --seed 0 --config configs/vdm-d6f4ca4a25.yaml --out stages/vdm-d6f4ca4a25 --resume

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1
vw2 train sight --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --config configs/sight-cb7bf0f1c4.yaml --out stages/sight-cb7bf0f1c4 --resume

# lapa, seed 0
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-e9b7a1d9be.yaml --out stages/dldm-e9b7a1d9be --resume

# videoworld1, seed 0; videoworld2, seed 0
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-1e81cc7e84.yaml --out stages/dldm-1e81cc7e84 --resume

# videoworld2, seed 0
vw2 train dldm --stage disentangle --data stages/collect-a2ce339a68 --seed 0 --init stages/dldm-1e81cc7e84 --vdm stages/vdm-d6f4ca4a25 --config configs/disentangle-d454d2ca90.yaml --out stages/disentangle-d454d2ca90 --resume

# lapa, seed 0
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-e9b7a1d9be --sight stages/sight-cb7bf0f1c4 --config configs/planner-4773617929.yaml --out stages/planner-4773617929 --resume

# videoworld1, seed 0
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-1e81cc7e84 --sight stages/sight-cb7bf0f1c4 --config configs/planner-9e86b5850d.yaml --out stages/planner-9e86b5850d --resume

# videoworld2, seed 0
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/disentangle-d454d2ca90 --sight stages/sight-cb7bf0f1c4 --config configs/planner-ba299f4e9c.yaml --out stages/planner-ba299f4e9c --resume

# none, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6e3fe06ee6.yaml --out stages/head-6e3fe06ee6 --resume

# lapa, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-4773617929 --config configs/head-4bbf4d1d91.yaml --out stages/head-4bbf4d1d91 --resume

# videoworld1, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-c3148990ff.yaml --out stages/head-c3148990ff --resume

# videoworld2, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-4ae59450dd.yaml --out stages/head-4ae59450dd --resume

# none, seed 0
vw2 eval --policy stages/head-6e3fe06ee6/policy --scene D --chains 100 --out stages/eval-10c449491e --workers 1

# lapa, seed 0
vw2 eval --policy stages/head-4bbf4d1d91/policy --scene D --chains 100 --out stages/eval-5a7dd85512 --workers 1

# videoworld1, seed 0
vw2 eval --policy stages/head-c3148990ff/policy --scene D --chains 100 --out stages/eval-8908db198a --workers 1

# videoworld2, seed 0
vw2 eval --policy stages/head-4ae59450dd/policy --scene D --chains 100 --out stages/eval-0b87cdcb64 --workers 1

# lapa, seed 1
vw2 train dldm --data stages/collect-a2ce339a68 --seed 1 --config configs/dldm-cd2909aca0.yaml --out stages/dldm-cd2909aca0 --resume

# videoworld1, seed 1; videoworld2, seed 1
vw2 train dldm --data stages/collect-a2ce339a68 --seed 1 --config configs/dldm-298638138b.yaml --out stages/dldm-298638138b --resume

# videoworld2, seed 1
vw2 train dldm --stage disentangle --data stages/collect-a2ce339a68 --seed 1 --init stages/dldm-298638138b --vdm stages/vdm-d6f4ca4a25 --config configs/disentangle-28a6de9f3c.yaml --out stages/disentangle-28a6de9f3c --resume

# lapa, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 1 --init stages/dldm-cd2909aca0 --sight stages/sight-cb7bf0f1c4 --config configs/planner-cf8e1535d9.yaml --out stages/planner-cf8e1535d9 --resume

# videoworld1, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 1 --init stages/dldm-298638138b --sight stages/sight-cb7bf0f1c4 --config configs/planner-08c3b37f08.yaml --out stages/planner-08c3b37f08 --resume

# videoworld2, seed 1
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 1 --init stages/disentangle-28a6de9f3c --sight stages/sight-cb7bf0f1c4 --config configs/planner-6dd93608ed.yaml --out stages/planner-6dd93608ed --resume

# none, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-59610edadd.yaml --out stages/head-59610edadd --resume

# lapa, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-cf8e1535d9 --config configs/head-f9f1473c02.yaml --out stages/head-f9f1473c02 --resume

# videoworld1, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-08c3b37f08 --config configs/head-26eb219ca8.yaml --out stages/head-26eb219ca8 --resume

# videoworld2, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-6dd93608ed --config configs/head-1445b75eeb.yaml --out stages/head-1445b75eeb --resume

# none, seed 1
vw2 eval --policy stages/head-59610edadd/policy --scene D --chains 100 --out stages/eval-250a162506 --workers 1

# lapa, seed 1
vw2 eval --policy stages/head-f9f1473c02/policy --scene D --chains 100 --out stages/eval-0928c6702b --workers 1

# videoworld1, seed 1
vw2 eval --policy stages/head-26eb219ca8/policy --scene D --chains 100 --out stages/eval-ddc284ffc5 --workers 1

# videoworld2, seed 1
vw2 eval --policy stages/head-1445b75eeb/policy --scene D --chains 100 --out stages/eval-03f38fea55 --workers 1
