"""Watching a release in use, where its traffic is: drift of what comes in and of what is answered, quality from
feedback, alerts, and the figures that may leave.

    psi, ks, mmd, adwin, page_hinkley   the detectors, each on its own
    look, quality                       all of them over a window of answers, over a stream of feedback
    watcher                             what was served since the last time; the report that may leave
    book, alerts, settings, deliver     what is kept, how serious it is, and who is told

`show` is what pages read; it needs no numpy.
"""
