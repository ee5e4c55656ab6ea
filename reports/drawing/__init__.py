"""What figures share: their look, the colours of methods, who is drawn, and tables beside stores.

`look` sizes and styles, `colours` gives every method its mark, `cast` names and chooses readings,
`axes` draws the parts that recur, `targets` finds the places of true targets in stored scores,
and `beside` reads what stores lack.
"""
