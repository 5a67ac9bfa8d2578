"""Sizes at which a fast Fourier transform is fast."""
from functools import lru_cache


@lru_cache(maxsize=256)
def good_size(n: int) -> int:
    """The smallest even number >= n whose only prime factors are 2, 3 and 5."""
    n += n % 2
    while True:
        m = n
        for p in (2, 3, 5):
            while m % p == 0:
                m //= p
        if m == 1:
            return n
        n += 2
