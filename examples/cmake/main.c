#include <stdio.h>

int heavy1(void);
int light1(void);

int main(void)
{
	printf("%d\n", heavy1() + light1());
	return 0;
}
