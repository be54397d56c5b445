// A program that asks as most programs do, with getaddrinfo(): linked with musl it is Alpine's resolver.

/** Prints the addresses that getaddrinfo() finds, one a line. */
export const GETADDRINFO_C: string = `#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
int main(int argc, char **argv) {
  struct addrinfo hints, *found, *each;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  int error = getaddrinfo(argv[1], NULL, &hints, &found);
  if (error != 0) { printf("%s\\n", gai_strerror(error)); return 1; }
  for (each = found; each != NULL; each = each->ai_next) {
    char text[INET6_ADDRSTRLEN];
    const void *address = each->ai_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)each->ai_addr)->sin6_addr
                                                      : (void *)&((struct sockaddr_in *)each->ai_addr)->sin_addr;
    puts(inet_ntop(each->ai_family, address, text, sizeof text));
  }
  return 0;
}
`;
