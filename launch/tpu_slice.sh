#!/usr/bin/env bash
# Trains on every host of a TPU slice that is there already; JAX learns from the slice's metadata
# which hosts belong to it. The same command goes on where a stopped run was.
#
#   NAME=my-slice ZONE=us-west4-a WORKDIR=/mnt/runs/cvrl bash launch/tpu_slice.sh --config=configs/cvrl_r3d50.py
#
# WORKDIR is a folder that all hosts see. Each host has this repository in ~/cvrl_jax, installed with
# `pip install -e '.[tpu]'` into ~/cvrl_jax/venv.
set -euo pipefail
: "${NAME:?the name of the slice}" "${ZONE:?its zone}" "${WORKDIR:?a folder that all hosts see}"
arguments=$(printf ' %q' "--workdir=$WORKDIR" "$@")
exec gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all \
  --command="cd cvrl_jax && . venv/bin/activate && exec python main.py$arguments"
