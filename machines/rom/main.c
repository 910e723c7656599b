/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* What is shown at start-up, the prompt, and the commands that belong to no other file. */

#include "rom.h"

#define LINE_SIZE 256
#define MAX_WORDS 32

typedef uint32_t program(uint32_t argc, char **argv, char **envp, uint32_t memsize);

struct command {
    const char *name;
    bool sized; /* takes a suffix for the width of an access */
    int min_words, max_words;
    void (*run)(int argc, char **argv);
    const char *usage;
    const char *summary;
    const char *details;
};

static void command_help(int argc, char **argv);
static void command_info(int argc, char **argv);
static void command_go(int argc, char **argv);

static const struct command commands[] = {
    {"help", false, 1, 2, command_help, "help [command]", "list the commands, or explain one", ""},
    {"info", false, 1, 1, command_info, "info", "show what the machine has",
     INFO_DETAILS},
    {"md", true, 2, 3, command_md, "md[.b|.h|.w] address [count]", "display memory",
     "Shows count bytes, halfwords or words (the default); without a count, 64 bytes.\n"
     "An access that raises an exception ends the command with a message.\n"},
    {"mw", true, 3, 4, command_mw, "mw[.b|.h|.w] address value [count]", "write memory",
     "Writes value once, or count times to successive addresses.\n"},
    {"memtest", false, 1, 3, command_memtest, "memtest [start [length]]", "test RAM, losing what it holds",
     "Walking ones, then every word its own address, then the inverse; through kseg0\n"
     "(cached) and kseg1 (uncached). Tests the second MiB if not told otherwise.\n"
     "Ctrl-C gives up.\n"},
    {"go", false, 2, MAX_WORDS, command_go, "go address [argument...]", "call a program",
     "Register a0 is the number of arguments and a1 their vector, the address as typed\n"
     "being the first; a2 points to name and value pairs (memsize, ememsize, modetty0)\n"
     "that end with a null; a3 is the size of RAM. If the program returns, v0 is\n"
     "shown; if it raises an exception, its registers.\n"},
    BOARD_COMMANDS
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

/* Finds the command of that name, with or without a suffix where it takes one. */
static const struct command *find_command(const char *word)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const char *a = commands[i].name, *b = word;
        while (*a && *a == *b)
            a++, b++;
        if (!*a && (!*b || (commands[i].sized && *b == '.')))
            return &commands[i];
    }
    return NULL;
}

static void command_help(int argc, char **argv)
{
    if (argc > 1) {
        const struct command *command = find_command(argv[1]);
        if (command)
            print("%s: %s\n%s", command->usage, command->summary, command->details);
        else
            print("help: there is no command '%s'\n", argv[1]);
        return;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        print("%-36s%s\n", commands[i].usage, commands[i].summary);
    print("Numbers are hexadecimal. Addresses are virtual: physical address p is\n"
          "80000000+p cached and a0000000+p uncached.\n");
}

static void show_ram(void)
{
    /* Only so much can be seen here; where it is full, the board may know of more. */
    uint32_t all = ram_size == LOW_RAM_LIMIT ? board_ram_size() : 0;

    print("RAM   %u MiB", ram_size >> 20);
    if (all > ram_size)
        print(", %u MiB in all", all >> 20);
    put_char('\n');
}

static void command_info(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    show_board();
    show_cpu();
    show_ram();
    show_devices();
    show_cp0();
}

/* Makes the exception vectors, Status and the interrupt controllers the ROM's again after other code ran. */
static void take_over(void)
{
    install_vectors();
    init_interrupts();
}

static void command_go(int argc, char **argv)
{
    static char memsize[11], ememsize[11];
    static char *environment[] = {"memsize", memsize, "ememsize", ememsize, "modetty0", "115200,n,8,1", NULL};
    uint32_t address;

    if (!parse_number(argv[1], &address) || address & 3) {
        print("go: '%s' is not a hexadecimal address and a multiple of 4\n", argv[1]);
        return;
    }
    uint32_t all = board_ram_size();
    format_decimal(memsize, ram_size);
    format_decimal(ememsize, all > ram_size ? all : ram_size);

    flush_output();
    sync_caches();
    uint32_t result = ((program *)address)((uint32_t)argc - 1, argv + 1, environment, ram_size);
    take_over();
    print("v0 = %08x\n", result);
}

/* Cuts the line into words; returns how many there are, MAX_WORDS + 1 if more than fit. */
static int split(char *line, char **words)
{
    int count = 0;

    for (;;) {
        while (*line == ' ')
            line++;
        if (!*line) {
            words[count] = NULL;
            return count;
        }
        if (count == MAX_WORDS)
            return MAX_WORDS + 1;
        words[count++] = line;
        while (*line && *line != ' ')
            line++;
        if (*line)
            *line++ = '\0';
    }
}

static void run_line(void *arg)
{
    char *words[MAX_WORDS + 1];
    int count = split(arg, words);

    if (count == 0)
        return;
    if (count > MAX_WORDS) {
        print("At most %d words make a command.\n", MAX_WORDS);
        return;
    }
    const struct command *command = find_command(words[0]);
    if (!command)
        print("%s: unknown command; type help for the list\n", words[0]);
    else if (count < command->min_words || count > command->max_words)
        print("usage: %s\n", command->usage);
    else
        command->run(count, words);
}

static void start_up(void *arg)
{
    (void)arg;
    show_cpu();
    find_ram();
    init_board();
    show_ram();
    show_devices_briefly();
    print("Type help for the commands.\n");
}

static void read_and_run(void *arg)
{
    char *line = arg;

    print("rom> ");
    if (read_line(line, LINE_SIZE))
        run_line(line);
}

/* Called by start.S, which has shown the banner. */
__attribute__((noreturn)) void rom_main(void)
{
    static char line[LINE_SIZE];

    install_vectors();
    run_reported(start_up, NULL);
    for (;;) {
        if (!run_reported(read_and_run, line))
            take_over();
    }
}
