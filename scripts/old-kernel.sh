#!/bin/sh
# The scenario matrix on an older kernel, which has no UFFDIO_MOVE: Debian 12's 6.1 in a virtual machine in software, with
# two NUMA nodes, one of them without CPUs. limit: 2400
#
# usage: scripts/old-kernel.sh [ARGUMENT OF tests/scenarios/run.sh]...
#
# The kernel's package is fetched (not installed) into build/old-kernel. OLD_KERNEL= names a bzImage or a .deb to take
# instead; OLD_KERNEL_SECONDS= is the time limit of the whole run; OLD_KERNEL_RUN= a command to run there instead of
# run.sh; B= the build directory. Exit status as run.sh's; 77 with a line when something is missing.
cd "$(dirname "$0")/.." || exit 1
: "${B:=build}" "${OLD_KERNEL:=}" "${OLD_KERNEL_SECONDS:=2100}" "${OLD_KERNEL_RUN:=}"
work=build/old-kernel
root=$work/root
too_new=6.8 # the first release with UFFDIO_MOVE

skip()
{
	printf 'old-kernel: %s\n' "$*"
	exit 77
}
fail()
{
	printf 'old-kernel: %s\n' "$*"
	exit 1
}

[ "$(uname -m)" = x86_64 ] || skip 'only for x86-64'
for tool in qemu-system-x86_64 busybox cpio gzip ${CC:-gcc}; do
	command -v $tool >/dev/null || skip "$tool is not installed (scripts/setup.sh check)"
done
if LC_ALL=C ldd "$(command -v busybox)" >/dev/null 2>&1; then
	skip 'busybox is not the static one (package busybox-static)'
fi
[ -f "$B/libcdm.so" ] && [ -d "$B/tests/scenarios" ] || fail "nothing to test in $B (make all progs)"
mkdir -p $work || exit 1

# older A B: release A is older than B.
older()
{
	[ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# The package of the distribution's kernel for virtual machines; fetched once.
fetch()
{
	package=$(ls $work/linux-image-*.deb 2>/dev/null | tail -n 1)
	[ -z "$package" ] || return 0
	command -v apt-get >/dev/null || skip 'no apt-get to fetch a kernel with, and no OLD_KERNEL='
	name=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ "$name" ] || skip 'no package linux-image-cloud-amd64 here, and no OLD_KERNEL='
	release=${name#linux-image-}
	older "${release%%-*}" $too_new || skip "the distribution's kernel, ${release%%-*}, is not an old one; OLD_KERNEL= names another"
	(cd $work && apt-get download -qq "$name" >fetch.log 2>&1) || skip "cannot fetch $name: $(tail -n 1 $work/fetch.log)"
	package=$(ls $work/linux-image-*.deb 2>/dev/null | tail -n 1)
	[ "$package" ] || skip "fetched $name, found nothing"
}

# Sets kernel, a bzImage.
choose_kernel()
{
	kernel=$OLD_KERNEL
	case $OLD_KERNEL in
	*.deb) package=$OLD_KERNEL ;;
	'') fetch ;;
	*) [ -f "$kernel" ] || fail "no $kernel"; return ;;
	esac
	rm -rf $work/kernel
	dpkg-deb -x "$package" $work/kernel || fail "cannot unpack $package"
	kernel=$(ls $work/kernel/boot/vmlinuz-* 2>/dev/null | head -n 1)
	[ "$kernel" ] || fail "no kernel in $package"
	rm -rf $work/kernel/lib $work/kernel/usr
}

# put FILE [AS]: into the machine's root, under the same name unless told.
put()
{
	mkdir -p "$root$(dirname "${2:-$1}")" && cp -L "$1" "$root${2:-$1}"
}
# needs FILE: the libraries that it loads, by the names that the loader will look for.
needs()
{
	LD_LIBRARY_PATH=$root/cdm/blas ldd "$1" 2>/dev/null | grep -v libblas | sed -n 's/^.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) .*/\1/p'
}

fill_root()
{
	rm -rf $root
	mkdir -p $root/bin $root/proc $root/sys $root/dev $root/tmp $root/root $root/etc $root/sbin
	put "$(command -v busybox)" /bin/busybox
	put "$B/libcdm.so" /cdm/build/libcdm.so
	put "$B/cdm" /sbin/cdm # not where the library looks for it: it would calibrate, which takes seconds here
	mkdir -p $root/cdm/blas
	${CC:-gcc} -std=c11 -O2 -fPIC -shared -Wl,-soname,libblas.so.3 -o $root/cdm/blas/libblas.so.3 tests/scenarios/vm/blas.c ||
		fail 'cannot build the BLAS of the machine'
	for name in libgcc_s.so.1 libstdc++.so.6; do # what pthread_exit and a program open by themselves
		for file in /lib/x86_64-linux-gnu/$name /usr/lib/x86_64-linux-gnu/$name; do
			[ -f "$file" ] && put "$file" && break
		done
	done
	for file in "$B"/tests/scenarios/*; do
		[ -f "$file" ] && [ -x "$file" ] && put "$file" "/cdm/build/tests/scenarios/${file##*/}"
	done
	for file in tests/scenarios/*.*; do
		put "$file" "/cdm/$file"
	done
	for file in $(for f in $root/sbin/cdm $root/cdm/build/libcdm.so $root/cdm/build/tests/scenarios/*; do
		needs "$f"
	done | sort -u); do
		put "$file"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >$root/etc/passwd
	cat >$root/init <<-'EOF'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/bin:/sbin HOME=/root
		mount -t proc none /proc
		mount -t sysfs none /sys
		mount -t devtmpfs none /dev
		mkdir -p /dev/shm && mount -t tmpfs none /dev/shm
		mount -t tmpfs none /tmp
		ln -sf /proc/self/fd /dev/fd
		ip link set lo up 2>/dev/null
		echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
		cd /cdm
		echo "kernel $(uname -r), $(nproc) CPUs, memory on nodes $(cat /sys/devices/system/node/has_memory)"
		sh /command </dev/null 2>&1
		echo "old-kernel exit status $?"
		poweroff -f
	EOF
	chmod 755 $root/init
}

# The command's words, quoted for the shell in the machine.
quoted()
{
	for word in "$@"; do
		printf " '%s'" "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
	done
}

pack()
{
	{
		echo 'export B=/cdm/build NETLIB=/cdm/blas BLAS=/cdm/blas/libblas.so.3 SCENARIO_SMALL=1 SLOW=2'
		echo "${OLD_KERNEL_RUN:-sh tests/scenarios/run.sh$(quoted "$@")}"
	} >$root/command
	(cd $root && find . | cpio -o -H newc --quiet | gzip -1) >$work/initramfs.gz
}

machine()
{
	timeout -k 10 "$OLD_KERNEL_SECONDS" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4G \
		-object memory-backend-ram,id=near,size=3G -object memory-backend-ram,id=far,size=1G \
		-numa node,nodeid=0,memdev=near,cpus=0-1 -numa node,nodeid=1,memdev=far \
		-kernel "$kernel" -initrd $work/initramfs.gz -append 'console=ttyS0 quiet panic=-1 mitigations=off' \
		-nodefaults -no-reboot -display none -serial stdio </dev/null 2>$work/qemu.log
}

# The serial line's output as it comes, without carriage returns; the last line tells the exit status.
boot()
{
	return_key=$(printf '\r')
	machine | while IFS= read -r line; do
		line=${line%"$return_key"}
		printf '%s\n' "$line" >>$work/serial.log
		case $line in
		'old-kernel exit status'* | *'reboot: Power down') ;;
		*) printf '%s\n' "$line" ;;
		esac
	done
}

choose_kernel
fill_root
pack "$@"
: >$work/serial.log
boot
status=$(sed -n 's/^old-kernel exit status \([0-9]*\)$/\1/p' $work/serial.log | tail -n 1)
if [ -z "$status" ]; then
	tail -n 5 $work/qemu.log
	fail "the machine ended without a result within $OLD_KERNEL_SECONDS s ($work/serial.log)"
fi
exit "$status"
