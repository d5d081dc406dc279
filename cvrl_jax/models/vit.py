"""The vision transformer of clips: tubelets, factorised positions (VATT, arXiv 2104.11178, 3.1)."""

from __future__ import annotations

import jax

from cvrl_jax.models.conv3d import Triple
from cvrl_jax.models.token_tower import TokenTower


class VideoTransformer(TokenTower):
    """A clip becomes T/t x H/h x W/w tokens, one for each tubelet of t x h x w pixels.

    The defaults see 32 x 224 x 224 pixels as 8 x 14 x 14 tokens. What a size leaves over at the end
    of an axis is cut off, as a strided convolution without padding does.

    Attributes (and those of `TokenTower`):
      patch: t, h, w.
      grid: rows of the position tables of time, height and width.
    """

    patch: Triple = (4, 16, 16)
    grid: Triple = (8, 14, 14)

    def split(self, x: jax.Array) -> jax.Array:
        """Clips [N, T, H, W, 3] or images [N, H, W, 3] in [0, 1] -> tubelets in [-1, 1].

        An image is repeated over the frames of one tubelet.
        """
        if x.ndim == 4:
            x = x[:, None].repeat(self.patch[0], axis=1)
        count, *sizes = x.shape[:4]
        (gt, gh, gw), (pt, ph, pw) = [n // p for n, p in zip(sizes, self.patch)], self.patch
        x = 2.0 * x[:, : gt * pt, : gh * ph, : gw * pw].astype(self.dtype) - 1.0
        x = x.reshape(count, gt, pt, gh, ph, gw, pw, 3).transpose(0, 1, 3, 5, 2, 4, 6, 7)
        return x.reshape(count, gt, gh, gw, pt * ph * pw * 3)
