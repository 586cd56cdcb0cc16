"""The peers by name."""

from __future__ import annotations

from sb3_tinyrl.bench.peers.base import Peer
from sb3_tinyrl.bench.peers.rltools import RLtools
from sb3_tinyrl.bench.peers.sb3 import StableBaselines3
from sb3_tinyrl.bench.peers.sbx import Sbx
from sb3_tinyrl.bench.peers.tiny import Tiny, blas_peer

#: In the order in which they are shown; the first is the one the others are compared with.
PEERS: dict[str, type[Peer]] = {
    "tiny": Tiny,
    "tiny-mkl": blas_peer("mkl"),
    "tiny-openblas": blas_peer("openblas"),
    "tiny-accelerate": blas_peer("accelerate"),
    "sb3": StableBaselines3,
    "sbx": Sbx,
    "rltools": RLtools,
}
