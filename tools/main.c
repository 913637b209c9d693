/* tools/main.c -- the one main(): every program is this file and a description. */
#include "tool.h"

int main(int argc, char **argv)
{
	return onx_tool_main(&onx_this_tool, argc, argv);
}
