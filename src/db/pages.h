/*
 * pages.h - what SQLite's files hold beside the data: private to the SQLite driver.
 *
 * A layer between SQLite and the file system ("lov", a VFS) that looks at each page of a database
 * file on its way:
 *   - each page ends in 8 bytes of checksum over its number and content, set when it is written and
 *     compared when it is read, so that a page that the disk has changed is not taken for data;
 *   - what is free inside a page of a tree is written as zeros. SQLite's secure_delete overwrites
 *     the cell that is deleted, but not the copies that stay behind where a page was split and its
 *     cells were moved.
 * A file that was made without room for checksums is read and written without them.
 */
#ifndef LOV_DB_PAGES_H
#define LOV_DB_PAGES_H

#include <stdbool.h>
#include <stdint.h>

enum { PAGE_BYTES = 4096, PAGE_SUM_BYTES = 8 };
#define PAGES_VFS "lov"

/* For sqlite3_file_control(): pages that do not match are read all the same. The argument is not
 * used. */
enum { PAGES_TOLERATE = 0x6c6f7601 };

/* Makes the VFS known; once a process, any thread. */
void pages_register(void);
/* Does the page hold its checksum? A page of zeros, which was never written, does. */
bool pages_intact(uint32_t number, const unsigned char page[PAGE_BYTES]);
/* Writes the checksum into the page's last bytes. */
void pages_sum(uint32_t number, unsigned char page[PAGE_BYTES]);

#endif
