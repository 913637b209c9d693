#include "unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/io.h"

static char dir[] = "/tmp/onx-io-XXXXXX";
static struct onx_arena arena;
static struct onx_err err;

static const char *at(const char *name)
{
	return onx_join(&arena, dir, name);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int files_in_dir(void)
{
	DIR *d = opendir(dir);
	int n = -2;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "a", "b", "link", "fifo", "ro" };

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(at(names[i]));
	int rc = rmdir(dir);            /* fails if a test left a temporary file */
	onx_arena_release(&arena);
	return rc;
}

static void want_file(const char *name, const char *text)
{
	struct onx_bytes b;

	must(onx_read(at(name), 1000, &b, &err), &err);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.data, text, b.len);
	onx_bytes_release(&b);
}

static void write_and_read(void **state)
{
	struct stat st;

	(void)state;
	must(onx_write_file(at("a"), true, "hello", 5, &err), &err);
	want_file("a", "hello");
	assert_int_equal(stat(at("a"), &st), 0);
	const mode_t mask = umask(0);
	umask(mask);
	assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
	must(onx_write_file(at("a"), true, "", 0, &err), &err);
	want_file("a", "");
}

static void nothing_changes_before_commit(void **state)
{
	struct onx_out o;

	(void)state;
	must(onx_write_file(at("a"), true, "old", 3, &err), &err);
	assert_int_equal(chmod(at("a"), 0640), 0);
	const int files = files_in_dir();
	must(onx_out_open(at("a"), true, &o, &err), &err);
	must(onx_out_write(&o, "new text", 8, &err), &err);
	want_file("a", "old");
	onx_out_abandon(&o);
	assert_int_equal(files_in_dir(), files);
	want_file("a", "old");

	must(onx_out_open(at("a"), true, &o, &err), &err);
	must(onx_out_write(&o, "new text", 8, &err), &err);
	must(onx_out_commit(&o, &err), &err);
	onx_out_abandon(&o);            /* nothing left to undo */
	want_file("a", "new text");
	assert_int_equal(files_in_dir(), files);
	struct stat st;
	assert_int_equal(stat(at("a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void a_link_stays_a_link(void **state)
{
	struct stat st;

	(void)state;
	must(onx_write_file(at("b"), true, "1", 1, &err), &err);
	assert_int_equal(symlink("b", at("link")), 0);
	must(onx_write_file(at("link"), true, "22", 2, &err), &err);
	assert_int_equal(lstat(at("link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	want_file("b", "22");
}

static void a_full_disk_is_a_fault(void **state)
{
	(void)state;
	must_fail(onx_write_file("/dev/full", true, "x", 1, &err), ONX_IO, &err,
		  "'/dev/full': No space left on device");
}

static void a_closed_pipe_is_a_fault(void **state)
{
	int fd[2];
	char path[64];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fd), 0);
	snprintf(path, sizeof path, "/dev/fd/%d", fd[1]);
	struct onx_out o;
	must(onx_out_open(path, true, &o, &err), &err);
	close(fd[0]);
	must_fail(onx_out_write(&o, "x", 1, &err), ONX_IO, &err, "Broken pipe");
	onx_out_abandon(&o);
	close(fd[1]);
}

/* A pipe is read to its end and no further than the limit. */
static void pipes(void **state)
{
	enum { N = 300000 };
	struct onx_bytes b;
	char *big = onx_alloc(&arena, N, 1);

	(void)state;
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	for (int round = 0; round < 2; round++) {
		const pid_t child = fork();
		if (child == 0)
			_exit(onx_write_file(at("fifo"), true, big, N, &err) == ONX_OK ? 0 : 1);
		if (round == 0) {
			must(onx_read(at("fifo"), N, &b, &err), &err);
			assert_int_equal(b.len, N);
			assert_false(b.mapped);
			onx_bytes_release(&b);
		} else {
			must_fail(onx_read(at("fifo"), N - 1, &b, &err), ONX_FORMAT, &err, "299999 bytes");
		}
	}
}

static void reading_faults(void **state)
{
	struct onx_bytes b;

	(void)state;
	must_fail(onx_read(at("nothing"), 10, &b, &err), ONX_IO, &err, "No such file");
	must_fail(onx_read(dir, 10, &b, &err), ONX_IO, &err, "it is a folder");
	must(onx_write_file(at("a"), true, "12345", 5, &err), &err);
	must_fail(onx_read(at("a"), 4, &b, &err), ONX_FORMAT, &err, "longer than the 4 bytes");
	onx_bytes_release(&b);
}

static void writing_faults(void **state)
{
	(void)state;
	must_fail(onx_write_file(at("no/such/folder"), true, "x", 1, &err), ONX_IO, &err, "No such file");
	must_fail(onx_write_file(dir, true, "x", 1, &err), ONX_IO, &err, "it is a folder");
	const char *target = at("b");
	for (long n = 1; n <= 4; n++) {
		onx_alloc_fail_at(n);
		int rc = onx_write_file(target, true, "x", 1, &err);
		onx_alloc_fail_at(0);
		assert_int_equal(rc, ONX_NOMEM);
	}
}

static void a_terminal_gets_no_binary(void **state)
{
	const int master = posix_openpt(O_RDWR | O_NOCTTY);
	struct onx_out o;

	(void)state;
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		skip();
	must_fail(onx_out_open(ptsname(master), true, &o, &err), ONX_USAGE, &err, "to a terminal");
	must(onx_out_open(ptsname(master), false, &o, &err), &err);
	onx_out_abandon(&o);
	close(master);
}

static void paths(void **state)
{
	(void)state;
	assert_string_equal(onx_dirname(&arena, "a/b/c"), "a/b");
	assert_string_equal(onx_dirname(&arena, "c"), ".");
	assert_string_equal(onx_dirname(&arena, "/c"), "/");
	assert_string_equal(onx_join(&arena, "a", "b"), "a/b");
	assert_string_equal(onx_join(&arena, "a/", "b"), "a/b");
	assert_string_equal(onx_join(&arena, "a", "/b"), "/b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(write_and_read), cmocka_unit_test(nothing_changes_before_commit),
		cmocka_unit_test(a_link_stays_a_link), cmocka_unit_test(a_full_disk_is_a_fault),
		cmocka_unit_test(a_closed_pipe_is_a_fault), cmocka_unit_test(pipes),
		cmocka_unit_test(reading_faults), cmocka_unit_test(writing_faults),
		cmocka_unit_test(a_terminal_gets_no_binary), cmocka_unit_test(paths)
	};

	return cmocka_run_group_tests_name(__FILE__, tests, make_dir, remove_dir);
}
