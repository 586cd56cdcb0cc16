import hypothesis
import torch as th

# The networks are small, and several threads would only wait for each other on a busy machine.
th.set_num_threads(1)

# An example may have to wait for a compiler, or for other processes.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")
