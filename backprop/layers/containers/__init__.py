"""Layers made of layers: chains, residual connections, branches, and every step by itself.

What is inside a container is a layer as any other: its z, a and delta are there to look at after
both passes, ``network[2].children[0].delta``. The parameters of all children are one vector, that
of the container, under the names "0.w", "0.b", "1.w" and so on.

Where a value fans out, its gradients add up: if a goes to several branches, dC/da is the sum of
what the branches send down. Source: Goodfellow, Bengio and Courville, *Deep Learning*,
section 6.5.
"""
