//! A region's L7 tier: a real nginx that says which region it is, and whether it is ready.

use crate::lab::{Machine, Program};

/// Listens on port 8080 of loopback; `/` answers the region's name, `/readyz` says it serves.
pub fn start(machine: &Machine, region: &str) -> Program {
    let dir = machine.dir().join("nginx");
    let dir = dir.to_str().unwrap();
    // One process, so that to end it is to end it all.
    let configuration = machine.write(
        "nginx/nginx.conf",
        &format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log off; default_type text/plain; keepalive_timeout 0;\n\
               client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
               fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
               server {{\n\
                 listen 127.0.0.1:8080 reuseport;\n\
                 location = /readyz {{ return 200 'ok\\n'; }}\n\
                 location / {{ return 200 '{region}\\n'; }}\n\
               }}\n\
             }}\n"
        ),
    );
    machine.start(
        "nginx",
        &["nginx", "-e", "stderr", "-p", dir, "-c", configuration.to_str().unwrap()],
    )
}
