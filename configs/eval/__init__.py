"""Evaluations of a finished run: `python main.py --mode=eval --config=configs/eval/knn.py ...`."""
