"""Pack for VOC's server: ``python tools/pack_voc.py PREDICTIONS SPLIT_FILE -o results.tgz``."""

from mmseg_deeplabv3x.cli.pack_voc import main

if __name__ == '__main__':
    main()
