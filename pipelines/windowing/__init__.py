"""The rooms behind `pipelines.window`: one stream's tests, the grid of windows, what is kept, and who decides.

    intake      one stream: what it may still bring, and how far it has come
    grid        where windows and samples lie on the axis of time
    shelf       packets of all streams, each kept once, put together to windows
    live        decisions of the clock, told as Cuts
    scripted    decisions of a recording, taken from its Cuts
    cut         a decision, and the script that many of them make
"""
