/*  fields_none.h - for readers of messages.def that look at names only: fields say nothing. No
 *  guard: it is included once for each reading. */
#define U8(field, text)
#define U16(field, text)
#define U32(field, text)
#define U64(field, text)
#define SESSION(field, text)
#define STR(field, max, text)
#define BLOB(field, max, text)
#define LIST(field, row, max, text)
#define END(name)
