"""Matching: the paper exchange itself, an account and a market in one, without a clock, a thread or a socket.

Bars come in and orders come in; updates come out. Money and quantities are Decimal. The price of an execution is made by the one
cost model, in binary fractions, and enters as the shortest decimal that reads back as the same: text over a wire changes nothing.
"""
