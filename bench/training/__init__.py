"""How the shipped networks are made: what they are trained on, the loop, and the cards of weights.

Methods never import this package. It knows methods and datasets but neither runs nor reports; the
commands `bench train ...` bring these together.
"""
