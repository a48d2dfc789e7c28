"""From a model of the contract to the network of Sony's IMX500 camera.

    the model ──cut──► its network ──quantizer──► 8-bit network ──converter──► packerOut.zip
                                                      └──► reference.onnx, which runs here

Quantizer and converter live in an environment of their own (`environment`), whose libraries are
older than ours; `inside` is the part of us that runs there.
"""
