#!/bin/sh
# This stands for a program that uses all GPUs that it sees.
echo "job $1 has GPU $CUDA_VISIBLE_DEVICES"
sleep 1
