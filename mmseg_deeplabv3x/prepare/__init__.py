"""From a download to a dataset that the configs can use: ``tools/prepare_data.py``.

Importing the package does not import this: training needs none of it.

The functions ``prepare_DATASET`` are alike. What is there already is kept, so an interrupted run
goes on; nothing is left half made. Those of :mod:`.annotations` make a new folder in one go.

Args:
    root: The folder to make, to complete or to check.
    sources: Folders and archives that hold the dataset; they are not changed. Default: what is in
        ``root``, and if that is nothing, the official archives are downloaded.
    downloads: Folder for what is downloaded.
    counts: What each split must hold. Default: the official numbers.

Returns:
    What is there now, in words.

Raises:
    DownloadError: If an official archive does not come.
    FileNotFoundError: If a source, a list, an image or a mask is missing.
    ValueError: If a split has another length, a file is damaged or is not of the dataset.
"""
