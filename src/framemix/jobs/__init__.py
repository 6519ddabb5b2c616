"""How work is done: on many processes or machines, isolated, resumed, shown, ended.

Code that distributes, isolates, resumes, shows and ends work belongs here. It decides no output,
so no stage depends on it. The work itself does not belong here: these modules know files and
functions, but no clips and no networks.
"""
