"""How work is done: on many processes or machines, isolated, resumed, shown, ended.

What spreads, isolates, resumes, shows and ends work belongs here. None of it decides an
output, so no stage depends on it. What the work is does not belong here: these modules
know files and functions, but no clip and no network.
"""
