/* The version: of the tool, of the report, and part of what a cached calibration is valid for. */
#ifndef CDM_BASE_VERSION_H
#define CDM_BASE_VERSION_H

#define CDM_VERSION "0.2.0"

#endif
