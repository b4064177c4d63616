"""Registered transforms."""

from .load_checked_annotations import LoadCheckedAnnotations
from .load_checked_image import LoadCheckedImage
from .lut_photo_metric_distortion import LUTPhotoMetricDistortion
from .random_native_scale import RandomNativeScale
from .random_scale_crop_flip import RandomScaleCropFlip
from .split_pack_seg_inputs import SplitPackSegInputs
