#!/bin/sh
# The engine takes nothing from libc that libcdm or another preloaded object interposes, that allocates, or that
# ends the process (design invariants 1 and 7): no such name is undefined in the objects under offload/ and policy/.
cd "$(dirname "$0")/.." || exit 1
: "${B:=build}"

forbidden='malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc strdup strndup asprintf
mmap mmap64 munmap mremap madvise mprotect brk sbrk read write pread pwrite open open64 openat close fork vfork
printf fprintf vfprintf snprintf vsnprintf sprintf puts putchar fputs fwrite fopen fopen64 fclose fgets fread perror
exit _exit abort __assert_fail syslog getline opendir readdir system popen'

status=0 objects=0
for object in $(find "$B/offload" "$B/policy" -name '*.o' | sort); do
	objects=$((objects + 1))
	for name in $(nm -u "$object" | sed 's/^ *[Uwv] //'); do
		case " $(printf %s "$forbidden" | tr '\n' ' ') " in
		*" $name "*)
			echo "check-names: ${object#"$B"/} uses $name"
			status=1 ;;
		esac
	done
done
[ $objects -gt 0 ] || { echo 'check-names: nothing is built'; exit 1; }
[ $status = 0 ] && echo "check-names: $objects objects"
exit $status
