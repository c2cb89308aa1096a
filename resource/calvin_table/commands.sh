#!/bin/sh
# Every stage once, in order; paths are relative to this file.
set -e
cd "$(dirname "$0")"

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1; none, seed 2; lapa, seed 2; videoworld1, seed 2; videoworld2, seed 2; none-full, seed 2; videoworld2-full, seed 2; none, seed 3; lapa, seed 3; videoworld1, seed 3; videoworld2, seed 3; none-full, seed 3; videoworld2-full, seed 3; none, seed 4; lapa, seed 4; videoworld1, seed 4; videoworld2, seed 4; none-full, seed 4; videoworld2-full, seed 4; none, seed 5; lapa, seed 5; videoworld1, seed 5; videoworld2, seed 5; none-full, seed 5; videoworld2-full, seed 5
vw2 collect --episodes 60 --randomize --scenes ABC --seed 31 --shards 96 --out stages/collect-a2ce339a68 --workers 1

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1; none, seed 2; lapa, seed 2; videoworld1, seed 2; videoworld2, seed 2; none-full, seed 2; videoworld2-full, seed 2; none, seed 3; lapa, seed 3; videoworld1, seed 3; videoworld2, seed 3; none-full, seed 3; videoworld2-full, seed 3; none, seed 4; lapa, seed 4; videoworld1, seed 4; videoworld2, seed 4; none-full, seed 4; videoworld2-full, seed 4; none, seed 5; lapa, seed 5; videoworld1, seed 5; videoworld2, seed 5; none-full, seed 5; videoworld2-full, seed 5
vw2 collect --episodes 80 --scenes D --seed 21 --shards 96 --out stages/collect-859b1fe326 --workers 1

# videoworld2, seed 0; videoworld2-full, seed 0; videoworld2, seed 1; videoworld2-full, seed 1; videoworld2, seed 2; videoworld2-full, seed 2; videoworld2, seed 3; videoworld2-full, seed 3; videoworld2, seed 4; videoworld2-full, seed 4; videoworld2, seed 5; videoworld2-full, seed 5
vw2 train vdm --data stages/collect-a2ce339a68 --seed 0 --config configs/vdm-d6f4ca4a25.yaml --out stages/vdm-d6f4ca4a25 --resume

# none, seed 0; lapa, seed 0; videoworld1, seed 0; videoworld2, seed 0; none-full, seed 0; videoworld2-full, seed 0; none, seed 1; lapa, seed 1; videoworld1, seed 1; videoworld2, seed 1; none-full, seed 1; videoworld2-full, seed 1; none, seed 2; lapa, seed 2; videoworld1, seed 2; videoworld2, seed 2; none-full, seed 2; videoworld2-full, seed 2; none, seed 3; lapa, seed 3; videoworld1, seed 3; videoworld2, seed 3; none-full, seed 3; videoworld2-full, seed 3; none, seed 4; lapa, seed 4; videoworld1, seed 4; videoworld2, seed 4; none-full, seed 4; videoworld2-full, seed 4; none, seed 5; lapa, seed 5; videoworld1, seed 5; videoworld2, seed 5; none-full, seed 5; videoworld2-full, seed 5
vw2 train sight --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --config configs/sight-cb7bf0f1c4.yaml --out stages/sight-cb7bf0f1c4 --resume

# lapa, seed 0; lapa, seed 1; lapa, seed 2; lapa, seed 3; lapa, seed 4; lapa, seed 5
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-e9b7a1d9be.yaml --out stages/dldm-e9b7a1d9be --resume

# videoworld1, seed 0; videoworld2, seed 0; videoworld2-full, seed 0; videoworld1, seed 1; videoworld2, seed 1; videoworld2-full, seed 1; videoworld1, seed 2; videoworld2, seed 2; videoworld2-full, seed 2; videoworld1, seed 3; videoworld2, seed 3; videoworld2-full, seed 3; videoworld1, seed 4; videoworld2, seed 4; videoworld2-full, seed 4; videoworld1, seed 5; videoworld2, seed 5; videoworld2-full, seed 5
vw2 train dldm --data stages/collect-a2ce339a68 --seed 0 --config configs/dldm-1e81cc7e84.yaml --out stages/dldm-1e81cc7e84 --resume

# videoworld2, seed 0; videoworld2-full, seed 0; videoworld2, seed 1; videoworld2-full, seed 1; videoworld2, seed 2; videoworld2-full, seed 2; videoworld2, seed 3; videoworld2-full, seed 3; videoworld2, seed 4; videoworld2-full, seed 4; videoworld2, seed 5; videoworld2-full, seed 5
vw2 train dldm --stage disentangle --data stages/collect-a2ce339a68 --seed 0 --init stages/dldm-1e81cc7e84 --vdm stages/vdm-d6f4ca4a25 --config configs/disentangle-d454d2ca90.yaml --out stages/disentangle-d454d2ca90 --resume

# lapa, seed 0; lapa, seed 1; lapa, seed 2; lapa, seed 3; lapa, seed 4; lapa, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-e9b7a1d9be --sight stages/sight-cb7bf0f1c4 --config configs/planner-4773617929.yaml --out stages/planner-4773617929 --resume

# videoworld1, seed 0; videoworld1, seed 1; videoworld1, seed 2; videoworld1, seed 3; videoworld1, seed 4; videoworld1, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/dldm-1e81cc7e84 --sight stages/sight-cb7bf0f1c4 --config configs/planner-9e86b5850d.yaml --out stages/planner-9e86b5850d --resume

# videoworld2, seed 0; videoworld2, seed 1; videoworld2, seed 2; videoworld2, seed 3; videoworld2, seed 4; videoworld2, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --data stages/collect-859b1fe326 --seed 0 --init stages/disentangle-d454d2ca90 --sight stages/sight-cb7bf0f1c4 --config configs/planner-ba299f4e9c.yaml --out stages/planner-ba299f4e9c --resume

# videoworld2-full, seed 0; videoworld2-full, seed 1; videoworld2-full, seed 2; videoworld2-full, seed 3; videoworld2-full, seed 4; videoworld2-full, seed 5
vw2 train planner --data stages/collect-a2ce339a68 --seed 0 --init stages/disentangle-d454d2ca90 --sight stages/sight-cb7bf0f1c4 --config configs/planner-6d5f566825.yaml --out stages/planner-6d5f566825 --resume

# none, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6e3fe06ee6.yaml --out stages/head-6e3fe06ee6 --resume

# lapa, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-4773617929 --config configs/head-4bbf4d1d91.yaml --out stages/head-4bbf4d1d91 --resume

# videoworld1, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-c3148990ff.yaml --out stages/head-c3148990ff --resume

# videoworld2, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-4ae59450dd.yaml --out stages/head-4ae59450dd --resume

# none-full, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-6ca39c2146.yaml --out stages/head-6ca39c2146 --resume

# videoworld2-full, seed 0
vw2 train head --data stages/collect-859b1fe326 --seed 0 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-b472af09b5.yaml --out stages/head-b472af09b5 --resume

# none, seed 0
vw2 eval --policy stages/head-6e3fe06ee6/policy --scene D --chains 100 --out stages/eval-10c449491e --workers 1

# lapa, seed 0
vw2 eval --policy stages/head-4bbf4d1d91/policy --scene D --chains 100 --out stages/eval-5a7dd85512 --workers 1

# videoworld1, seed 0
vw2 eval --policy stages/head-c3148990ff/policy --scene D --chains 100 --out stages/eval-8908db198a --workers 1

# videoworld2, seed 0
vw2 eval --policy stages/head-4ae59450dd/policy --scene D --chains 100 --out stages/eval-0b87cdcb64 --workers 1

# none-full, seed 0
vw2 eval --policy stages/head-6ca39c2146/policy --scene D --chains 100 --out stages/eval-4d54da8f43 --workers 1

# videoworld2-full, seed 0
vw2 eval --policy stages/head-b472af09b5/policy --scene D --chains 100 --out stages/eval-175b1887e9 --workers 1

# none, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-59610edadd.yaml --out stages/head-59610edadd --resume

# lapa, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-4773617929 --config configs/head-a5c0f8da03.yaml --out stages/head-a5c0f8da03 --resume

# videoworld1, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-bf68d08416.yaml --out stages/head-bf68d08416 --resume

# videoworld2, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-96ae0ea291.yaml --out stages/head-96ae0ea291 --resume

# none-full, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-78940cb269.yaml --out stages/head-78940cb269 --resume

# videoworld2-full, seed 1
vw2 train head --data stages/collect-859b1fe326 --seed 1 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-5a3ab643b6.yaml --out stages/head-5a3ab643b6 --resume

# none, seed 1
vw2 eval --policy stages/head-59610edadd/policy --scene D --chains 100 --out stages/eval-250a162506 --workers 1

# lapa, seed 1
vw2 eval --policy stages/head-a5c0f8da03/policy --scene D --chains 100 --out stages/eval-a0179021e1 --workers 1

# videoworld1, seed 1
vw2 eval --policy stages/head-bf68d08416/policy --scene D --chains 100 --out stages/eval-7b7d61110e --workers 1

# videoworld2, seed 1
vw2 eval --policy stages/head-96ae0ea291/policy --scene D --chains 100 --out stages/eval-653bf4f49b --workers 1

# none-full, seed 1
vw2 eval --policy stages/head-78940cb269/policy --scene D --chains 100 --out stages/eval-384081b1f3 --workers 1

# videoworld2-full, seed 1
vw2 eval --policy stages/head-5a3ab643b6/policy --scene D --chains 100 --out stages/eval-ed3d817d94 --workers 1

# none, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-87b3368446.yaml --out stages/head-87b3368446 --resume

# lapa, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --init stages/planner-4773617929 --config configs/head-4327bc5472.yaml --out stages/head-4327bc5472 --resume

# videoworld1, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-4e6b39e7b3.yaml --out stages/head-4e6b39e7b3 --resume

# videoworld2, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-47578b728d.yaml --out stages/head-47578b728d --resume

# none-full, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-bc6a0d52c0.yaml --out stages/head-bc6a0d52c0 --resume

# videoworld2-full, seed 2
vw2 train head --data stages/collect-859b1fe326 --seed 2 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-bf9af9c63d.yaml --out stages/head-bf9af9c63d --resume

# none, seed 2
vw2 eval --policy stages/head-87b3368446/policy --scene D --chains 100 --out stages/eval-159759870a --workers 1

# lapa, seed 2
vw2 eval --policy stages/head-4327bc5472/policy --scene D --chains 100 --out stages/eval-75f331c924 --workers 1

# videoworld1, seed 2
vw2 eval --policy stages/head-4e6b39e7b3/policy --scene D --chains 100 --out stages/eval-a5217120c7 --workers 1

# videoworld2, seed 2
vw2 eval --policy stages/head-47578b728d/policy --scene D --chains 100 --out stages/eval-c4d86ce82e --workers 1

# none-full, seed 2
vw2 eval --policy stages/head-bc6a0d52c0/policy --scene D --chains 100 --out stages/eval-fa3c3d583a --workers 1

# videoworld2-full, seed 2
vw2 eval --policy stages/head-bf9af9c63d/policy --scene D --chains 100 --out stages/eval-ce2a5b6e41 --workers 1

# none, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-30caebe323.yaml --out stages/head-30caebe323 --resume

# lapa, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --init stages/planner-4773617929 --config configs/head-dc135d9f19.yaml --out stages/head-dc135d9f19 --resume

# videoworld1, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-ee5c73c215.yaml --out stages/head-ee5c73c215 --resume

# videoworld2, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-4e11c8c90b.yaml --out stages/head-4e11c8c90b --resume

# none-full, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-174daccce7.yaml --out stages/head-174daccce7 --resume

# videoworld2-full, seed 3
vw2 train head --data stages/collect-859b1fe326 --seed 3 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-20668769a3.yaml --out stages/head-20668769a3 --resume

# none, seed 3
vw2 eval --policy stages/head-30caebe323/policy --scene D --chains 100 --out stages/eval-773a1fbc40 --workers 1

# lapa, seed 3
vw2 eval --policy stages/head-dc135d9f19/policy --scene D --chains 100 --out stages/eval-2c07dff94a --workers 1

# videoworld1, seed 3
vw2 eval --policy stages/head-ee5c73c215/policy --scene D --chains 100 --out stages/eval-d6a2f26dc5 --workers 1

# videoworld2, seed 3
vw2 eval --policy stages/head-4e11c8c90b/policy --scene D --chains 100 --out stages/eval-78ac184733 --workers 1

# none-full, seed 3
vw2 eval --policy stages/head-174daccce7/policy --scene D --chains 100 --out stages/eval-e93b79e45e --workers 1

# videoworld2-full, seed 3
vw2 eval --policy stages/head-20668769a3/policy --scene D --chains 100 --out stages/eval-b387819131 --workers 1

# none, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-50bbe12721.yaml --out stages/head-50bbe12721 --resume

# lapa, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --init stages/planner-4773617929 --config configs/head-13f293ffe7.yaml --out stages/head-13f293ffe7 --resume

# videoworld1, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-29b0c29fa7.yaml --out stages/head-29b0c29fa7 --resume

# videoworld2, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-7a802316ef.yaml --out stages/head-7a802316ef --resume

# none-full, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-596cb580cc.yaml --out stages/head-596cb580cc --resume

# videoworld2-full, seed 4
vw2 train head --data stages/collect-859b1fe326 --seed 4 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-c48f3f68bd.yaml --out stages/head-c48f3f68bd --resume

# none, seed 4
vw2 eval --policy stages/head-50bbe12721/policy --scene D --chains 100 --out stages/eval-154530d025 --workers 1

# lapa, seed 4
vw2 eval --policy stages/head-13f293ffe7/policy --scene D --chains 100 --out stages/eval-3cb4a3c967 --workers 1

# videoworld1, seed 4
vw2 eval --policy stages/head-29b0c29fa7/policy --scene D --chains 100 --out stages/eval-d57f77af7c --workers 1

# videoworld2, seed 4
vw2 eval --policy stages/head-7a802316ef/policy --scene D --chains 100 --out stages/eval-9b663d5455 --workers 1

# none-full, seed 4
vw2 eval --policy stages/head-596cb580cc/policy --scene D --chains 100 --out stages/eval-16b23a489a --workers 1

# videoworld2-full, seed 4
vw2 eval --policy stages/head-c48f3f68bd/policy --scene D --chains 100 --out stages/eval-d2aad52969 --workers 1

# none, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-c428968613.yaml --out stages/head-c428968613 --resume

# lapa, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --init stages/planner-4773617929 --config configs/head-42ea1040b8.yaml --out stages/head-42ea1040b8 --resume

# videoworld1, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --init stages/planner-9e86b5850d --config configs/head-2dcb857ac4.yaml --out stages/head-2dcb857ac4 --resume

# videoworld2, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 0.1 --init stages/planner-ba299f4e9c --config configs/head-ac8a9a3934.yaml --out stages/head-ac8a9a3934 --resume

# none-full, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 1.0 --scratch --sight stages/sight-cb7bf0f1c4 --config configs/head-c81381fe1c.yaml --out stages/head-c81381fe1c --resume

# videoworld2-full, seed 5
vw2 train head --data stages/collect-859b1fe326 --seed 5 --labels 1.0 --init stages/planner-6d5f566825 --config configs/head-870cdf8246.yaml --out stages/head-870cdf8246 --resume

# none, seed 5
vw2 eval --policy stages/head-c428968613/policy --scene D --chains 100 --out stages/eval-81726652fa --workers 1

# lapa, seed 5
vw2 eval --policy stages/head-42ea1040b8/policy --scene D --chains 100 --out stages/eval-5f5cb28f4b --workers 1

# videoworld1, seed 5
vw2 eval --policy stages/head-2dcb857ac4/policy --scene D --chains 100 --out stages/eval-24aa64d74c --workers 1

# videoworld2, seed 5
vw2 eval --policy stages/head-ac8a9a3934/policy --scene D --chains 100 --out stages/eval-7d9cf27a4f --workers 1

# none-full, seed 5
vw2 eval --policy stages/head-c81381fe1c/policy --scene D --chains 100 --out stages/eval-7bfcce7b13 --workers 1

# videoworld2-full, seed 5
vw2 eval --policy stages/head-870cdf8246/policy --scene D --chains 100 --out stages/eval-d5b858d776 --workers 1
