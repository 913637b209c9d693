/* base/version.h -- the version of the programs and the library. */
#ifndef ONX_VERSION_H
#define ONX_VERSION_H

#define ONX_VERSION "0.1.0"

#endif
