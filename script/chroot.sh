# shellcheck shell=bash
# Debian suites in folders, and commands run in them; sourced by script/test-matrix, test-packages and test-containers (root, debootstrap).

suite_of() {
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		19) echo sid ;;
		*) return 1 ;;
	esac
}

mirror() { awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null || echo http://deb.debian.org/debian; }

# A major before its release is in experimental, from where only it and its libpq come: as a whole that suite replaces perl too.
experimental_major=19

add_experimental() {
	local root=$1
	echo "deb $(mirror) experimental main" >"$root/etc/apt/sources.list.d/experimental.list"
	printf 'Package: libpq5 libpq-dev *-%s\nPin: release a=experimental\nPin-Priority: 600\n' "$experimental_major" >"$root/etc/apt/preferences.d/experimental"
}

# Makes the chroot $2 of suite $1; more packages and the mark that it is ready are the caller's.
bootstrap() {
	local suite=$1 root=$2 script=()
	command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null || return 1
	rm -rf "$root"
	mkdir -p "$root"
	# a suite younger than debootstrap is made with the script of sid
	[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(/usr/share/debootstrap/scripts/sid)
	debootstrap --variant=minbase "$suite" "$root" "$(mirror)" "${script[@]}" || return 1
	apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|Languages)' >"$root/etc/apt/apt.conf.d/99outside"
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	if [ "$suite" = "$(suite_of $experimental_major)" ]; then add_experimental "$root"; fi
}

# A folder with the server alone.
make_base() {
	[ -e "$2/ready" ] && return
	bootstrap "$(suite_of "$1")" "$2" && inside "$2" net sh -c "
		apt-get update && apt-get install -y --no-install-recommends postgresql-$1 && apt-get clean && touch /ready"
}

# Runs a command in a chroot; $1 is the chroot, $2 "net" or "nonet".  Two variables name folders
# if set: layer, to which changes go instead of to the chroot, and shared, which the command finds as /packages.
inside() {
	local root=$1 net=$2 flags=(-m --pid --fork --kill-child)
	shift 2
	[ "$net" = net ] || flags+=(-n)
	# shellcheck disable=SC2016
	unshare "${flags[@]}" bash -euc '
		root=$1 layer=$2 shared=$3; shift 3
		mount --make-rprivate /
		if [ -n "$layer" ]; then
			mkdir -p "$layer"/upper "$layer"/work "$layer"/root
			mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
			root=$layer/root
		fi
		mount -t proc proc "$root/proc"
		mount --bind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/dev/shm"
		mount -t tmpfs tmpfs "$root/run"
		mkdir -p "$root/run/postgresql"
		if [ -n "$shared" ]; then
			mkdir -p "$root/packages"
			mount --bind "$shared" "$root/packages"
		fi
		chroot "$root" chown postgres /run/postgresql 2>/dev/null || true
		ip link set lo up 2>/dev/null || true
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
	' inside "$root" "${layer:-}" "${shared:-}" "$@"
}
