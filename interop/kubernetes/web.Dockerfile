FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
ENV PATH=/bin
EXPOSE 80
CMD ["/bin/sh", "-c", "busybox mkdir -p /www && echo one $(busybox hostname) > /www/index.html && exec busybox httpd -f -v -p 80 -h /www"]
