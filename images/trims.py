"""What no image has, though Debian's packages bring it."""

DROPS = (
    "adduser", "debconf", "diffutils", "dpkg", "init-system-helpers", "libdb5.3t64", "libdebconfclient0", "liblastlog2-2",
    "libpam-modules", "libpam-modules-bin", "libpam-runtime", "libsemanage-common", "libsemanage2", "libsepol2",
    "login.defs", "openssl", "passwd", "perl-base", "sensible-utils", "sysvinit-utils", "ucf",
)  # fmt: skip
"""Packages that are there to install packages, make users and log in; no image does that once it is built."""

TRIMS = (
    # Documentation: the licences stay, they have to go wherever the programs go.
    "usr/share/man/*", "usr/share/info/*", "usr/share/doc-base/*", "usr/share/lintian/*", "usr/share/bug/*",
    "usr/share/locale/*", "usr/share/i18n/*", "usr/share/gtk-doc/*", "usr/share/bash-completion/*", "usr/share/zsh/*",
    # Only building a program needs these.
    "*.a", "*.la", "usr/include/*", "usr/lib/*/pkgconfig/*", "usr/share/pkgconfig/*",
    # Character sets other than UTF-8: Ruby, Python and Postgres bring their own converters.
    "usr/lib/*/gconv/*",
    # No init system, no package manager at run time. dpkg/status stays: vulnerability scanners read it.
    "usr/lib/systemd/*", "etc/systemd/*", "etc/init.d/*", "etc/rc?.d/*", "etc/cron*", "etc/logrotate.d/*", "etc/apt/*",
    "etc/apparmor.d/*", "usr/share/initramfs-tools/*", "usr/lib/udev/*", "usr/lib/apt/*", "usr/share/debconf/*",
    "var/lib/dpkg/info/*", "var/lib/dpkg/*-old", "var/lib/dpkg/lock*", "var/lib/dpkg/triggers/*", "var/lib/apt/*",
    "var/lib/systemd/*", "var/lib/ucf/*", "var/lib/pam/*", "var/backups/*", "etc/dpkg/dpkg.cfg.d/*",
    # A key that ssl-cert makes when it is installed: no two builds would be alike, and a key in an image is no secret.
    "etc/ssl/private/*", "etc/ssl/certs/ssl-cert-snakeoil.pem",
    # Nobody logs in.
    "etc/shadow", "etc/gshadow", "etc/subuid", "etc/subgid", "etc/pam.d/*", "etc/security/*", "etc/skel/*",
    # Differs from build to build or from host to host.
    "var/cache/*/*", "var/log/*.log", "var/log/*/*.log", "var/log/btmp", "var/log/wtmp", "var/log/lastlog",
    "var/log/faillog", "etc/machine-id", "etc/resolv.conf", "etc/hostname", "etc/.pwd.lock", "etc/*-",
    "tmp/*", "var/tmp/*", "dev/*", "proc/*", "sys/*", "run/*.lock", "root/.*",
)  # fmt: skip
"""Paths that no image's package layer has."""

UNPACK = (
    "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright", "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/info/*", "force-confold", "force-unsafe-io",
)  # fmt: skip
"""Options of dpkg: the larger part of what is trimmed is not even unpacked, and nothing waits for the disk."""
