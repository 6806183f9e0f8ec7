/*  manager_status.h - the answer to the question "status", as JSON
 *
 *  One schema for all readers: Client.status(), `denim status`, and what is to come.
 *
 *  Copyright (c) the denim authors. Licensed under MPL-2.0; see LICENSE.
 */
#ifndef DN_IO_MANAGER_STATUS_H
#define DN_IO_MANAGER_STATUS_H

#include "core/manager.h"

/*  Owned, to be freed with free(); NULL when memory is short. */
char *dn_manager_status (const dn_manager_t *manager, int64_t uptime_ms);

#endif
