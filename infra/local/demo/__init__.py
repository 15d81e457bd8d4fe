"""The demo: the main job on one machine, told as it happens.

`__main__` starts and stops the stack; `story` acts through HTTP alone; `watch` follows the runs of a tick;
`totals` adds them up and judges them; `report` puts them in words.
"""
