"""The Sony IMX500, Raspberry Pi's AI Camera: the network runs in the sensor, masks come out.

    sensor       the loop's end: starts the camera's process, watches it, starts it anew
    child        that process, from outside
    process      its program: one loop around the engine
    engine       frames to masks: region, tensor and time of each
    camera       picamera2's, and nobody else touches that but `buffers`
    aim          regions as the chip wants them
    rest         when to leave the region alone
    attribution  which region made a tensor; which number a frame has
    tensors      output tensors to a mask and a score
    rpk          what the network's file and its neighbours say
    package      makes the network's file, by Raspberry Pi's own program
    latency      measures how many frames late a region takes effect

The camera has a process of its own because libcamera holds Python's interpreter lock while it
uploads a network, which takes up to minutes, and because a process that hangs can be killed.
"""
