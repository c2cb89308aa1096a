#!/bin/sh
# Every stage once, in order; paths are relative to this file.
set -e
cd "$(dirname "$0")"

# none, seed 0; lapa, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld2, seed 1; none, seed 2; lapa, seed 2; videoworld2, seed 2; none, seed 3; lapa, seed 3; videoworld2, seed 3; none, seed 4; lapa, seed 4; videoworld2, seed 4; none, seed 5; lapa, seed 5; videoworld2, seed 5
vw2 collect --episodes 60 --randomize --scenes ABC --seed 31 --shards 96 --out stages/collect-a2ce339a68 --workers 1

# none, seed 0; lapa, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld2, seed 1; none, seed 2; lapa, seed 2; videoworld2, seed 2; none, seed 3; lapa, seed 3; videoworld2, seed 3; none, seed 4; lapa, seed 4; videoworld2, seed 4; none, seed 5; lapa, seed 5; videoworld2, seed 5
vw2 collect --episodes 80 --scenes D --seed 21 --shards 96 --out stages/collect-859b1fe326 --workers 1

# videoworld2, seed 0; videoworld2, seed 1; videoworld2, seed 2; videoworld2, seed 3; videoworld2, seed 4; videoworld2, seed 5
vw2 train vdm --data stages/collect-a2ce339a68 --seed 0 --config configs/vdm-d6f4ca4a25.yaml --out stages/vdm-d6f4ca4a25 --resume

# none, seed 0; lapa, seed 0; videoworld2, seed 0; none, seed 1; lapa, seed 1; videoworld2, seed 1; none, seed 2; lapa, seed 2; videoworld2, seed 2; none, seed 3; lapa, seed 3; videoworld2, seed 3; none, seed 4; lapa, seed 4; videoworld2, seed 4; none, seed 5; lapa, seed 5; videoworld2, seed 5
vw2 train sight --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --config configs/sight-cb7bf0f1c4.yaml --out stages/sight-cb7bf0f1c4 --resume

# lapa, seed 0; lapa, seed 1; lapa, seed 2; lapa, seed 3; lapa, seed 4; lapa, seed 5
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-e9b7a1d9be.yaml --out stages/dldm-e9b7a1d9be --resume

# videoworld2, seed 0; videoworld2, seed 1; videoworld2, seed 2; videoworld2, seed 3; videoworld2, seed 4; videoworld2, seed 5
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-1e81cc7e84.yaml --out stages/dldm-1e81cc7e84 --resume

# videoworld2, seed 0; videoworld2, seed 1; videoworld2, seed 2; videoworld2, seed 3; videoworld2, seed 4; videoworld2, seed 5
vw2 train dldm --stage disentangle --data stages/collect-a2ce339a68 --seed 0 --init stages/dldm-1e81cc7e84 --vdm stages/vdm-d6f4ca4a25 --config configs/disentangle-d454d2ca90.yaml --out stages/disentangle-d454d2ca90 --resume

# lapa, seed 0; lapa, seed 1; lapa, seed 2; lapa, seed 3; lapa, seed 4; lapa, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-e9b7a1d9be --sight stages/sight-cb7bf0f1c4 --config configs/planner-4773617929.yaml --out stages/planner-4773617929 --resume

# videoworld2, seed 0; videoworld2, seed 1; videoworld2, seed 2; videoworld2, seed 3; videoworld2, seed 4; videoworld2, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/disentangle-d454d2ca90 --sight stages/sight-cb7bf0f1c4 --config configs/planner-ba299f4e9c.yaml --out stages/planner-ba299f4e9c --resume

# none, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6e3fe06ee6.yaml --out stages/head-6e3fe06ee6 --resume

# lapa, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-4773617929 --config configs/head-4bbf4d1d91.yaml --out stages/head-4bbf4d1d91 --resume

# videoworld2, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-4ae59450dd.yaml --out stages/head-4ae59450dd --resume

# none, seed 0
vw2 eval --policy stages/head-6e3fe06ee6/policy --scene D --chains 100 --out stages/eval-10c449491e --workers 1

# lapa, seed 0
vw2 eval --policy stages/head-4bbf4d1d91/policy --scene D --chains 100 --out stages/eval-5a7dd85512 --workers 1

# videoworld2, seed 0
vw2 eval --policy stages/head-4ae59450dd/policy --scene D --chains 100 --out stages/eval-0b87cdcb64 --workers 1

# none, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-59610edadd.yaml --out stages/head-59610edadd --resume

# lapa, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-4773617929 --config configs/head-a5c0f8da03.yaml --out stages/head-a5c0f8da03 --resume

# videoworld2, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-96ae0ea291.yaml --out stages/head-96ae0ea291 --resume

# none, seed 1
vw2 eval --policy stages/head-59610edadd/policy --scene D --chains 100 --out stages/eval-250a162506 --workers 1

# lapa, seed 1
vw2 eval --policy stages/head-a5c0f8da03/policy --scene D --chains 100 --out stages/eval-a0179021e1 --workers 1

# videoworld2, seed 1
vw2 eval --policy stages/head-96ae0ea291/policy --scene D --chains 100 --out stages/eval-653bf4f49b --workers 1

# none, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-87b3368446.yaml --out stages/head-87b3368446 --resume

# lapa, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --init stages/planner-4773617929 --config configs/head-4327bc5472.yaml --out stages/head-4327bc5472 --resume

# videoworld2, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-47578b728d.yaml --out stages/head-47578b728d --resume

# none, seed 2
vw2 eval --policy stages/head-87b3368446/policy --scene D --chains 100 --out stages/eval-159759870a --workers 1

# lapa, seed 2
vw2 eval --policy stages/head-4327bc5472/policy --scene D --chains 100 --out stages/eval-75f331c924 --workers 1

# videoworld2, seed 2
vw2 eval --policy stages/head-47578b728d/policy --scene D --chains 100 --out stages/eval-c4d86ce82e --workers 1

# none, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-30caebe323.yaml --out stages/head-30caebe323 --resume

# lapa, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --init stages/planner-4773617929 --config configs/head-dc135d9f19.yaml --out stages/head-dc135d9f19 --resume

# videoworld2, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-4e11c8c90b.yaml --out stages/head-4e11c8c90b --resume

# none, seed 3
vw2 eval --policy stages/head-30caebe323/policy --scene D --chains 100 --out stages/eval-773a1fbc40 --workers 1

# lapa, seed 3
vw2 eval --policy stages/head-dc135d9f19/policy --scene D --chains 100 --out stages/eval-2c07dff94a --workers 1

# videoworld2, seed 3
vw2 eval --policy stages/head-4e11c8c90b/policy --scene D --chains 100 --out stages/eval-78ac184733 --workers 1

# none, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-50bbe12721.yaml --out stages/head-50bbe12721 --resume

# lapa, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --init stages/planner-4773617929 --config configs/head-13f293ffe7.yaml --out stages/head-13f293ffe7 --resume

# videoworld2, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-7a802316ef.yaml --out stages/head-7a802316ef --resume

# none, seed 4
vw2 eval --policy stages/head-50bbe12721/policy --scene D --chains 100 --out stages/eval-154530d025 --workers 1

# lapa, seed 4
vw2 eval --policy stages/head-13f293ffe7/policy --scene D --chains 100 --out stages/eval-3cb4a3c967 --workers 1

# videoworld2, seed 4
vw2 eval --policy stages/head-7a802316ef/policy --scene D --chains 100 --out stages/eval-9b663d5455 --workers 1

# none, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-c428968613.yaml --out stages/head-c428968613 --resume

# lapa, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --init stages/planner-4773617929 --config configs/head-42ea1040b8.yaml --out stages/head-42ea1040b8 --resume

# videoworld2, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-ac8a9a3934.yaml --out stages/head-ac8a9a3934 --resume

# none, seed 5
vw2 eval --policy stages/head-c428968613/policy --scene D --chains 100 --out stages/eval-81726652fa --workers 1

# lapa, seed 5
vw2 eval --policy stages/head-42ea1040b8/policy --scene D --chains 100 --out stages/eval-5f5cb28f4b --workers 1

# videoworld2, seed 5
vw2 eval --policy stages/head-ac8a9a3934/policy --scene D --chains 100 --out stages/eval-7d9cf27a4f --workers 1
