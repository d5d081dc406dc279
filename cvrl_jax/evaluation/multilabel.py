"""How well examples with several labels each are recognised: mAP, AUC and d-prime, as for AudioSet.

Gemmeke et al. 2017 ("Audio Set: an ontology and human-labeled dataset for audio events") and
Hershey et al. 2017 (arXiv 1609.09430), section 3.3.
"""

from __future__ import annotations

import math

import numpy as np


def multilabel_metrics(scores_NxC: np.ndarray, targets_NxC: np.ndarray) -> dict[str, float]:
    """Means over classes; each class that some examples have and some have not counts alike.

    Equal scores are a draw: constant ones give the share of positives as mAP, and AUC 0.5.

    Args:
      scores_NxC: the higher, the likelier; of any scale, finite.
      targets_NxC: above 0.5 = the example has the class.

    Returns:
      "map" in [0, 1]; "auc" in [0, 1]; "dprime", the mean of sqrt(2) times the normal quantile of
      a class's AUC, where an AUC of 1 (or 0) counts as half a pair less (or more): the quantile
      would be infinite; "map_chance", the mAP of constant scores; "classes_left_out". Without any
      class to count the first four are NaN.
    """
    from scipy.stats import norm  # here, for they keep the first step of every run waiting
    from sklearn.metrics import average_precision_score, roc_auc_score

    targets_NxC = np.asarray(targets_NxC) > 0.5
    positives_C = targets_NxC.sum(axis=0)
    negatives_C = len(targets_NxC) - positives_C
    counted = np.flatnonzero((positives_C > 0) & (negatives_C > 0))
    left_out = float(len(positives_C) - len(counted))
    if not len(counted):
        nothing = dict.fromkeys(("map", "auc", "dprime", "map_chance"), math.nan)
        return nothing | {"classes_left_out": left_out}
    precision, area, d_prime = [], [], []
    for c in counted:
        precision.append(average_precision_score(targets_NxC[:, c], scores_NxC[:, c]))
        area.append(roc_auc_score(targets_NxC[:, c], scores_NxC[:, c]))
        half_a_pair = 0.5 / float(positives_C[c] * negatives_C[c])
        d_prime.append(math.sqrt(2) * norm.ppf(np.clip(area[-1], half_a_pair, 1 - half_a_pair)))
    return {
        "map": float(np.mean(precision)),
        "auc": float(np.mean(area)),
        "dprime": float(np.mean(d_prime)),
        "map_chance": float(np.mean(positives_C[counted]) / len(targets_NxC)),
        "classes_left_out": left_out,
    }
