"""The hub's pages: what the ledger says of a consortium, for people, in English and Chinese.

    app           build(site) -> FastAPI: routes, headers, errors
    site          what pages are made from: a workspace, the index of its ledger, a clock
    look          language, theme and liveness of one request
    frame         page(request, "name.html", …) -> Response: a template in the frame that all pages share
    lists         tables with paging, sorting, search, and their JSON and CSV twins
    charts        SVG with a title, a description and the numbers as a table
    words         figures, sizes and times as people read them
    pages/        one table of all pages (`@page`), one file a page

Everything is rendered here and complete without scripts. Pages decide nothing: what counts was signed elsewhere.
"""
