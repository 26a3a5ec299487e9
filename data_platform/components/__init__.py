"""The YAML vocabulary: one component class a file. Wiring only; the work is in the engine packages."""

from data_platform.components.dbt_models import DbtModels
from data_platform.components.file_feed import FileFeed
from data_platform.components.sftp_partner import SftpPartner

__all__ = ["DbtModels", "FileFeed", "SftpPartner"]
