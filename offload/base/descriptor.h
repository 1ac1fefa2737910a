/* Descriptors of libcdm's own. */
#ifndef CDM_BASE_DESCRIPTOR_H
#define CDM_BASE_DESCRIPTOR_H

/* Gives a descriptor a high number, out of the way of programs that close or reuse low ones (daemons, shells); or returns it as
 * it is, where that is refused. The first one makes the kernel enlarge the process's table, which takes 10 ms and more as soon
 * as there is a second thread (it waits for all CPUs to leave the old one, expand_files() in fs/file.c). */
int cdm_descriptor_raise(int low);

#endif
