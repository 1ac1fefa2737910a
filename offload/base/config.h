/* The configuration: every CDM_* variable is one row of config.def.
 *
 * Read once, in the constructor, from the environment; constant afterwards. A malformed value and an unknown
 * CDM_* name cost one warning line each and nothing else.
 */
#ifndef CDM_BASE_CONFIG_H
#define CDM_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cdm_device_kind { CDM_DEVICE_NONE, CDM_DEVICE_EMU, CDM_DEVICE_EMU_PRIVATE };
enum cdm_policy_kind { CDM_POLICY_NEVER, CDM_POLICY_COPY, CDM_POLICY_FIRST_USE, CDM_POLICY_IN_PLACE, CDM_POLICY_ADAPTIVE };
enum cdm_hook_kind { CDM_HOOK_AUTO, CDM_HOOK_PLT, CDM_HOOK_PATCH };
enum cdm_touch_kind { CDM_TOUCH_SIGNAL, CDM_TOUCH_THREAD };
enum cdm_mechanism_kind { CDM_MECHANISM_AUTO, CDM_MECHANISM_MOVE, CDM_MECHANISM_REMAP };

#define CDM_MIN_WORK_AUTO (-1.0)

struct cdm_config {
	int device;         /* enum cdm_device_kind */
	size_t device_mem;  /* bytes, a multiple of 2 MiB */
	int policy;         /* enum cdm_policy_kind */
	double min_work;    /* flops; CDM_MIN_WORK_AUTO: take the calibrated crossover */
	size_t min_alloc;   /* bytes, >= 4096 */
	const char *blas;   /* library path or name; NULL: the fastest found */
	int threads;        /* of the emulated device; 0: the allowed CPUs */
	int hook;           /* enum cdm_hook_kind */
	int mechanism;      /* enum cdm_mechanism_kind */
	int touch;          /* enum cdm_touch_kind */
	int control;        /* 1: there may be threads of libcdm's */
	const char *report; /* "stderr", a path, or NULL */
	const char *trace;  /* a path or NULL */
	const char *fault;  /* as cdm_config_faults() reads it, or NULL */
	int log;            /* enum cdm_log_level */
};

extern struct cdm_config cdm_config;

/* The device's operations that CDM_FAULT can make fail, and which of them do: the first-th, counted from 1, and with
 * `onwards` all that follow. first == 0: none. */
enum cdm_fault_op { CDM_FAULT_ALLOC, CDM_FAULT_COPY_OUT, CDM_FAULT_COPY_HOME, CDM_FAULT_COMPUTE, CDM_FAULT_OPS };
struct cdm_fault_rule {
	uint64_t first;
	bool onwards; /* never of CDM_FAULT_COPY_HOME: what is on the device alone must come home in the end */
};

/* Fills cdm_config from envp (NULL-terminated NAME=VALUE strings). The string options are copies, and relative
 * paths become absolute. An empty value counts as unset. Warnings go through cdm_log. Never fails. */
void cdm_config_read(char *const *envp);
/* CDM_FAULT's grammar: NAME:N or NAME:N+, separated by commas, each name once. 0, or -EINVAL with rules untouched. */
int cdm_config_faults(const char *spec, struct cdm_fault_rule rules[CDM_FAULT_OPS]);
/* One line per variable into t: name, value in force, default, help (`cdm env`). markdown != 0: the README's
 * table, with its heading. 4 KiB are enough, plus the length of the strings. */
struct cdm_text;
void cdm_config_print(struct cdm_text *t, int markdown);

#endif
