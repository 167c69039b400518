"""Every document of the domain, and nothing else. Read this folder first: it is the language of Foedus.

What is signed, stored or sent is a record: frozen, strict, with one canonical byte form and a digest. What the accord
can name is declared in `terms.py`; the learning wing implements it. A field never changes meaning; a new meaning is a
new record.
"""
