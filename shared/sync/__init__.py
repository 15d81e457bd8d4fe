"""Table sync: nine stages from a source page to committed rows, driven slice by slice.

    1 fetch      decides the walk: lower bound, upper bound, pages, proof      fetch.py (+ decode.py, rowversion.py)
    2 coerce     a raw value becomes the kind its column declares              coerce.py
    3 text       trimming, control characters, Unicode, case                   text.py
    4 numbers    exact decimals from raw text                                  numbers.py
    5 dates      dates, times, zones                                           dates.py
    6 mapping    source columns become target columns; masks                   mapping.py
    7 identity   key hash, row hash, reference                                 identity.py
    8 delta      inserted, updated, unchanged, superseded                      delta.py
    9 load       the chunk's transaction                                       load.py

`run.py` drives one slice through the Protocols of `ports.py`. Stages 2 to 8 are pure: frames in, frames out.
"""
