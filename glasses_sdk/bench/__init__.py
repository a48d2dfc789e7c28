"""How long the SDK takes for a mask, beside the shortest program of the same libraries.

Every contender is a process that waits for a frame and publishes its mask, and a process that
subscribes to it. The camera is a named pipe: the conductor (`measure`) writes a tick with
the time into it, to one contender after the other, so that a busy machine is equally busy for all.
A mask's age is that between the tick and the decoded mask in the subscriber: one monotonic clock
serves all processes of a computer.
"""
