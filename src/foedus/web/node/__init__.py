"""A member's own page, on its own machine, in the process that answers the hub: `foedus join --ui`.

    keeper    who may see it: whoever opens the link that this start printed
    desk      what it shows, from the member's own files: journal, card, accord, what waits for a vote
    vote      a draft on the desk: fetched, verified here, shown, signed with the passphrase that was typed
    runs      a proposed run: read from this member's ledger and objects, shown, signed likewise
    app       the pages

It listens on 127.0.0.1 alone. What is shown was read and verified here; of what a hub says of itself nothing is shown.
"""
