"""A plugin of pytest for tqdm's own tests: puts our class where tqdm's is. Copied beside them, and loaded before them.

``TQDM_IN_PLACE=import``: ``from tqdm import tqdm`` gives what ``from jupyter_jobprogress.tqdm import tqdm`` gives.
``TQDM_IN_PLACE=run``: as in a script of ``jupyter jobprogress run``.
"""

import os

import numpy

numpy.random.seed(0)  # tests_pandas expects that a thousand draws out of a hundred numbers meet every one of them

if os.environ["TQDM_IN_PLACE"] == "run":
    from jupyter_jobprogress.integrations import hook

    hook.install()
else:
    import tqdm
    import tqdm.asyncio

    import jupyter_jobprogress.tqdm as ours

    tqdm.tqdm = tqdm.asyncio.tqdm = tqdm.asyncio.tqdm_asyncio = ours.tqdm
    tqdm.trange = tqdm.asyncio.trange = tqdm.asyncio.tarange = ours.trange
