//! The engine's C interface (libchdb 26.7.3, `chdb.h`): the only unsafe code of the project. It turns the
//! C handles into values that are closed exactly once, and C errors into `String`s; it never decides anything.
#![expect(unsafe_code, reason = "the engine is a shared library with a C interface; every block says why it is sound")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

type Conn = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;

/// The 14 symbols we use, typed after `chdb.h`.
struct Api {
    version: unsafe extern "C" fn() -> *const c_char,
    signal_handlers: unsafe extern "C" fn(c_int),
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Conn,
    close: unsafe extern "C" fn(*mut Conn),
    query: unsafe extern "C" fn(
        Conn,
        *const c_char,
        usize,
        *const c_char,
        usize,
        *const *const c_char,
        *const usize,
        *const *const c_char,
        *const usize,
        usize,
    ) -> RawResult,
    destroy_result: unsafe extern "C" fn(RawResult),
    buffer: unsafe extern "C" fn(RawResult) -> *const u8,
    length: unsafe extern "C" fn(RawResult) -> usize,
    rows_written: unsafe extern "C" fn(RawResult) -> u64,
    error: unsafe extern "C" fn(RawResult) -> *const c_char,
    insert: unsafe extern "C" fn(Conn, *const c_char, usize, *const c_char, usize) -> RawInsert,
    append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(RawInsert),
    shutdown: unsafe extern "C" fn() -> c_int,
}

/// The loaded engine on one data folder. One per process.
pub struct Engine {
    api: Arc<Api>,
    args: Vec<CString>,
}

/// One session of the engine: its own settings and database. Used by one thread at a time.
pub struct Connection {
    api: Arc<Api>,
    handle: NonNull<Conn>,
}

// SAFETY: chdb.h allows a connection to be used from any thread as long as its calls are serialised; all methods
// that use the handle take `&mut self`, so the borrow checker serialises them.
unsafe impl Send for Connection {}

/// The bytes a statement returned; the connection lives as long as they do.
pub struct Answer {
    api: Arc<Api>,
    result: NonNull<c_void>,
    bytes: *const u8,
    len: usize,
    _connection: Connection,
}

// SAFETY: the result is an owned, immutable buffer once the query call has returned; it is only read and then
// destroyed once, on drop, by whichever thread holds it.
unsafe impl Send for Answer {}
// SAFETY: as above: shared access only reads the immutable buffer.
unsafe impl Sync for Answer {}

impl Engine {
    /// Loads the library and names the data folder; nothing is opened yet.
    pub fn load(library: &Path, data: &Path, server_args: &[String]) -> Result<Self, String> {
        // SAFETY: loading runs the library's initialisers. The file is the engine whose archive's hash was checked
        // by `fetch`, or one that the operator named in TANDEM_CHDB.
        let lib = unsafe { libloading::Library::new(library) }.map_err(|e| format!("{}: {e}", library.display()))?;
        let api = Api {
            version: symbol(&lib, c"chdb_version")?,
            signal_handlers: symbol(&lib, c"chdb_set_signal_handlers_enabled")?,
            connect: symbol(&lib, c"chdb_connect")?,
            close: symbol(&lib, c"chdb_close_conn")?,
            query: symbol(&lib, c"chdb_query_with_params_n")?,
            destroy_result: symbol(&lib, c"chdb_destroy_query_result")?,
            buffer: symbol(&lib, c"chdb_result_buffer")?,
            length: symbol(&lib, c"chdb_result_length")?,
            rows_written: symbol(&lib, c"chdb_result_rows_written")?,
            error: symbol(&lib, c"chdb_result_error")?,
            insert: symbol(&lib, c"chdb_stream_insert_n")?,
            append: symbol(&lib, c"chdb_stream_append")?,
            done: symbol(&lib, c"chdb_stream_done")?,
            insert_error: symbol(&lib, c"chdb_stream_insert_error")?,
            destroy_insert: symbol(&lib, c"chdb_destroy_insert_stream")?,
            shutdown: symbol(&lib, c"chdb_shutdown")?,
        };
        // The library keeps threads and thread-locals of its own: unloading it would pull code from under them.
        std::mem::forget(lib);
        // SAFETY: called before the first connection, as chdb.h asks; signals stay ours.
        unsafe { (api.signal_handlers)(0) };
        let mut args = vec![cstring("clickhouse")?, cstring(&format!("--path={}", data.display()))?];
        for arg in server_args {
            args.push(cstring(arg)?);
        }
        Ok(Self { api: Arc::new(api), args })
    }

    /// The engine's own version, e.g. `26.7.3`.
    pub fn version(&self) -> String {
        // SAFETY: returns a pointer to a static NUL-terminated string.
        let text = unsafe { (self.api.version)() };
        // SAFETY: as above; null is handled.
        unsafe { text_of(text) }.unwrap_or_default()
    }

    /// Opens a session. The first one boots the engine and locks the data folder.
    pub fn connect(&self) -> Result<Connection, String> {
        let mut argv: Vec<*mut c_char> = self.args.iter().map(|a| a.as_ptr().cast_mut()).collect();
        // SAFETY: argv holds argc valid NUL-terminated strings that outlive the call; the engine copies them.
        let handle = unsafe { (self.api.connect)(argv.len() as c_int, argv.as_mut_ptr()) };
        match NonNull::new(handle) {
            Some(handle) => Ok(Connection { api: self.api.clone(), handle }),
            None => Err("the engine refused to open its data folder (its log on stderr says why)".to_owned()),
        }
    }

    /// Joins the engine's threads. Every connection and answer must be gone; else it does nothing and says so.
    pub fn shutdown(self) -> bool {
        // SAFETY: allowed from any thread; refuses by itself while a connection is open.
        unsafe { (self.api.shutdown)() == 0 }
    }
}

impl Connection {
    /// Runs one statement. `params` bind `{name:Type}` in it.
    pub fn query(self, sql: &[u8], format: &str, params: &[(String, String)]) -> Result<Answer, String> {
        let mut this = self;
        let result = this.run(sql, format, params)?;
        // SAFETY: result is a live result handle; the pointer stays valid until it is destroyed in Answer::drop.
        let (bytes, len) = unsafe { ((this.api.buffer)(result.as_ptr()), (this.api.length)(result.as_ptr())) };
        Ok(Answer { api: this.api.clone(), result, bytes, len, _connection: this })
    }

    /// Runs one statement whose answer is of no interest (SET, USE).
    pub fn execute(&mut self, sql: &str) -> Result<(), String> {
        let result = self.run(sql.as_bytes(), "Null", &[])?;
        // SAFETY: a live result handle, destroyed exactly once.
        unsafe { (self.api.destroy_result)(result.as_ptr()) };
        Ok(())
    }

    fn run(&mut self, sql: &[u8], format: &str, params: &[(String, String)]) -> Result<NonNull<c_void>, String> {
        let column = |pick: fn(&(String, String)) -> &String| -> (Vec<*const c_char>, Vec<usize>) {
            params.iter().map(|p| (pick(p).as_ptr().cast::<c_char>(), pick(p).len())).unzip()
        };
        let (names, name_lens) = column(|p| &p.0);
        let (values, value_lens) = column(|p| &p.1);
        // SAFETY: all pointers come from live slices with the lengths given beside them; the engine copies what it
        // keeps. The handle is live because `self` is.
        let result = unsafe {
            (self.api.query)(
                *self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lens.as_ptr(),
                values.as_ptr(),
                value_lens.as_ptr(),
                params.len(),
            )
        };
        self.checked(result)
    }

    /// Writes one INSERT whose statement has no FORMAT clause; `data` is in `format`. Returns the rows written,
    /// those of materialized views included. On an error nothing was written, as long as the data is one block.
    pub fn insert(&mut self, statement: &str, format: &str, data: &[u8]) -> Result<u64, String> {
        // SAFETY: pointers and lengths of live slices; never returns null by its contract, null is handled below.
        let stream = unsafe {
            (self.api.insert)(
                *self.handle.as_ptr(),
                statement.as_ptr().cast(),
                statement.len(),
                format.as_ptr().cast(),
                format.len(),
            )
        };
        let Some(stream) = NonNull::new(stream) else {
            return Err("the engine opened no insert stream".to_owned());
        };
        let written = self.feed(stream, data);
        // SAFETY: live handle, destroyed exactly once on every path; cancels the insert when it was not finished.
        unsafe { (self.api.destroy_insert)(stream.as_ptr()) };
        written
    }

    fn feed(&mut self, stream: NonNull<c_void>, data: &[u8]) -> Result<u64, String> {
        // SAFETY: `stream` is live until the caller destroys it; the returned text is copied at once.
        let failed = || unsafe { text_of((self.api.insert_error)(stream.as_ptr())) };
        if let Some(error) = failed() {
            return Err(error);
        }
        for chunk in data.chunks(4 << 20) {
            // SAFETY: the chunk is a live slice, copied by the engine.
            let state = unsafe { (self.api.append)(stream.as_ptr(), chunk.as_ptr().cast(), chunk.len()) };
            if state != 0 {
                return Err(failed().unwrap_or_else(|| "the engine stopped reading the data".to_owned()));
            }
        }
        // SAFETY: finishes the live stream; the result is checked for null and errors and destroyed below.
        let result = self.checked(unsafe { (self.api.done)(stream.as_ptr()) })?;
        // SAFETY: live result handle, destroyed exactly once.
        let rows = unsafe {
            let rows = (self.api.rows_written)(result.as_ptr());
            (self.api.destroy_result)(result.as_ptr());
            rows
        };
        Ok(rows)
    }

    /// A result handle without an error in it; one with an error is destroyed.
    fn checked(&self, result: RawResult) -> Result<NonNull<c_void>, String> {
        let Some(result) = NonNull::new(result) else {
            return Err("the engine returned nothing".to_owned());
        };
        // SAFETY: live result handle; the error text is copied before the handle is destroyed.
        match unsafe { text_of((self.api.error)(result.as_ptr())) } {
            None => Ok(result),
            Some(error) => {
                // SAFETY: live handle, given up here.
                unsafe { (self.api.destroy_result)(result.as_ptr()) };
                Err(error)
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from chdb_connect and is closed exactly once.
        unsafe { (self.api.close)(self.handle.as_ptr()) };
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        if self.bytes.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the engine's buffer of `len` bytes, unchanged until `drop` destroys it.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: live result handle, destroyed exactly once, before its connection (a later field).
        unsafe { (self.api.destroy_result)(self.result.as_ptr()) };
    }
}

fn symbol<T: Copy>(lib: &libloading::Library, name: &CStr) -> Result<T, String> {
    // SAFETY: the type at each call site is the function's signature in chdb.h of 26.7.
    unsafe { lib.get::<T>(name) }.map(|s| *s).map_err(|e| format!("this library is not the engine we know: {e}"))
}

fn cstring(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} holds a NUL byte"))
}

/// # Safety
/// `text` is null or a NUL-terminated string that lives during the call.
unsafe fn text_of(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as promised by the caller.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    (!text.is_empty()).then_some(text)
}
